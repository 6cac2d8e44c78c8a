from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.annotate import annotate, class_colour
from edge.detections import Detections
from edge.masks import full_masks

GOLDEN = Path(__file__).parent / "data" / "demo_golden.npz"
SIZE = 360, 640
NAMES = ["circle", "square", "triangle", "star"]
Box = tuple[float, float, float, float]


def square_at(y: int, x: int, cells: int = 10) -> np.ndarray:
    logits = np.full((54, 54), -5, np.float32)
    logits[y : y + cells, x : x + cells] = 5
    return logits


def found(
    *logits: np.ndarray, rows: Sequence[int] | None = None, boxes: Sequence[Box] | None = None
) -> Detections:
    count = len(logits)
    return Detections(
        np.full(count, 0.9, np.float32),
        np.array(rows if rows is not None else [0] * count, dtype=np.int64),
        np.array(boxes if boxes is not None else [(9, 9, 20, 20)] * count, np.float32).reshape(
            -1, 4
        ),
        np.array(logits, np.float32).reshape(-1, 54, 54),
        SIZE,
    )


def grey(value: int = 90) -> np.ndarray:
    picture = np.full((*SIZE, 3), value, np.uint8)
    picture.setflags(write=False)  # as a frame: handed over and never written again
    return picture


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Which pixels differ, bool [H, W]."""
    return (before != after).any(axis=2)


def test_golden_objects_are_drawn_where_they_are() -> None:
    golden = np.load(GOLDEN)
    probability = 1 / (1 + np.exp(-golden["pred_logits"][0]))
    query, row = np.nonzero(probability > 0.5)
    cx, cy, w, h = golden["pred_boxes"][0][query].T
    corners = np.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], axis=1)
    corners = np.clip(corners * [640, 360, 640, 360], 0, [640, 360, 640, 360])
    detections = Detections(
        probability[query, row].astype(np.float32),
        row,
        corners.astype(np.float32),
        golden["pred_masks"][0][query],
        SIZE,
    )
    frame = golden["frame_bgr"]

    picture = annotate(frame, detections, NAMES)

    assert len(detections) == 4
    touched = changed(frame, picture)
    masks = full_masks(detections.mask_logits, SIZE)
    assert touched[masks.any(axis=0)].mean() > 0.99
    # Far from every mask and box only labels could be, and those are near their boxes.
    near = masks.any(axis=0)
    for x1, y1, x2, y2 in corners.astype(int):
        near[max(y1 - 20, 0) : y2 + 5, max(x1 - 80, 0) : x2 + 80] = True
    assert not touched[~near].any()


def test_frame_is_left_as_it_is() -> None:
    frame = grey()
    picture = annotate(frame, found(square_at(20, 20)), NAMES)
    assert picture is not frame
    assert picture.shape == frame.shape
    assert (frame == 90).all()


def test_nothing_found_is_the_picture_itself() -> None:
    assert not changed(grey(), annotate(grey(), found(), NAMES)).any()


@pytest.mark.parametrize(
    "detections",
    [
        found(square_at(20, 20), rows=[3]),
        found(square_at(20, 20), rows=[1]),
        found(np.full((54, 54), -1, np.float32)),
        found(square_at(20, 20), boxes=[(np.nan, 0, 10, 10)]),
    ],
    ids=["past the names", "unnamed", "empty mask", "not a number"],
)
def test_what_no_message_reports_is_not_drawn(detections: Detections) -> None:
    assert not changed(grey(), annotate(grey(), detections, ["circle", None])).any()


@pytest.mark.parametrize("value", [0, 90, 255])
def test_mask_is_tinted_in_the_colour_of_its_class(value: int) -> None:
    picture = annotate(grey(value), found(square_at(20, 20), rows=[2]), NAMES)
    expected = 0.6 * value + 0.4 * np.array(class_colour(2))
    assert np.abs(picture[166, 296] - expected).max() <= 1


def test_small_object_stays_visible_on_a_large_one() -> None:
    small, large = square_at(25, 25, 4), square_at(5, 5, 44)
    for order in ((small, large), (large, small)):
        rows = [0 if logits is small else 1 for logits in order]
        picture = annotate(grey(), found(*order, rows=rows), NAMES)
        below = 0.6 * 90 + 0.4 * np.array(class_colour(1))
        expected = 0.6 * below + 0.4 * np.array(class_colour(0))
        assert np.abs(picture[180, 320] - expected).max() <= 2


def test_hole_of_a_mask_is_not_tinted() -> None:
    ring = square_at(10, 10, 30)
    ring[20:30, 20:30] = -5
    picture = annotate(grey(), found(ring), NAMES)
    assert (picture[166, 296] == 90).all()
    assert (picture[100, 296] != 90).any()


def test_colours_of_neighbouring_classes_are_told_apart() -> None:
    colours = np.array([class_colour(row) for row in range(12)], dtype=int)
    apart = np.abs(colours[:, None] - colours[None]).sum(axis=2)
    assert apart[~np.eye(12, dtype=bool)].min() > 60
    assert class_colour(3) == class_colour(3)


@pytest.mark.parametrize("box", [(0, 0, 640, 360), (600, 350, 640, 360), (0, 355, 3, 360)])
def test_label_stays_inside_the_picture(box: Box) -> None:
    picture = annotate(grey(), found(square_at(26, 26, 2), boxes=[box]), ["a long name of a class"])
    plate = (picture == class_colour(0)).all(axis=2)
    columns = np.nonzero(plate)[1]
    assert columns.max() - columns.min() > 100  # all of it, not cut off


@pytest.mark.parametrize("name", ["", "Größe", "人", "<img src=x>", "x" * 500, "a\nb"])
def test_any_name_can_be_drawn(name: str) -> None:
    detections = found(square_at(20, 20), boxes=[(200, 100, 300, 200)])
    picture = annotate(grey(), detections, [name])
    without = annotate(grey(), detections, ["i"])
    assert changed(picture, without).any()


def test_lines_and_text_grow_with_the_picture() -> None:
    """What a 1080p picture shows is still there when a page shows it at a third of its size."""
    small = annotate(grey(), found(square_at(20, 20), boxes=[(230, 130, 360, 210)]), NAMES)
    logits = square_at(20, 20)[None]
    large_found = Detections(
        np.array([0.9], np.float32),
        np.array([0]),
        np.array([(690, 390, 1080, 630)], np.float32),
        logits,
        (1080, 1920),
    )
    large = annotate(np.full((1080, 1920, 3), 90, np.uint8), large_found, NAMES)
    shrunk = cv2.resize(large, (640, 360), interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk.astype(int) - small).mean() < 2


def test_the_track_stands_in_the_label() -> None:
    boxes = [(100.0, 60.0, 200.0, 160.0), (400.0, 200.0, 500.0, 300.0)]
    detections = found(square_at(9, 9), square_at(30, 34), boxes=boxes)
    without = annotate(grey(), detections, NAMES)
    with_track = annotate(grey(), detections, NAMES, [None, 42])
    differs = changed(without, with_track)
    assert differs[180:210, 400:].any()
    assert not differs[:, :390].any()  # the one without a track


def test_tracks_stay_with_their_objects_where_others_are_left_out() -> None:
    boxes = [(400.0, 60.0, 500.0, 160.0), (100.0, 200.0, 200.0, 300.0)]
    both = found(square_at(9, 34), square_at(30, 9), rows=[3, 0], boxes=boxes)
    names = ["circle", "square", "triangle", None]
    second = both[np.array([1])]
    assert not changed(
        annotate(grey(), both, names, [7, 42]), annotate(grey(), second, names, [42])
    ).any()
