"""Summaries against the same numbers taken from the official full-resolution masks."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.detections import Detections
from edge.events.summary import summarise
from edge.mask_runs import MaskRuns, mask_runs

HD = (1080, 1920)
NAMES = ["circle", "square", "triangle", "star", None]


def interpolated(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    planes = torch.from_numpy(logits)[:, None]
    resized = F.interpolate(planes, size=size, mode="bilinear", align_corners=False)
    return resized[:, 0].numpy()


def detections(
    logits: np.ndarray,
    size: tuple[int, int] = HD,
    class_id: list[int] | None = None,
    score: list[float] | None = None,
    box: np.ndarray | None = None,
) -> Detections:
    count = len(logits)
    return Detections(
        np.array(score or np.linspace(0.9, 0.5, count), dtype=np.float32),
        np.array(class_id or [0] * count, dtype=np.int64),
        np.zeros((count, 4), dtype=np.float32) if box is None else box.astype(np.float32),
        logits,
        size,
    )


def squares(*sides: int, grid: int = 54) -> np.ndarray:
    logits = np.full((len(sides), grid, grid), -3, dtype=np.float32)
    for plane, side in zip(logits, sides, strict=True):
        plane[10 : 10 + side, 20 : 20 + side] = 3
    return logits


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    grid=st.sampled_from([(54, 54), (78, 78), (30, 41)]),
    size=st.sampled_from([(360, 640), (480, 270), (300, 257), (120, 90), (40, 41), (1, 1)]),
    peak=st.sampled_from([0.01, 1.0, 8.0, 40.0]),
    offset=st.floats(-0.5, 0.5),
)
def test_area_and_centroid_are_those_of_the_official_mask(
    seed: int, grid: tuple[int, int], size: tuple[int, int], peak: float, offset: float
) -> None:
    coarse = torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, size=(4, 1, 6, 6)))
    fields = F.interpolate(coarse, size=grid, mode="bicubic")[:, 0].numpy() + offset
    logits = (peak * fields).astype(np.float32)
    expected = []
    for i, plane in enumerate(interpolated(logits, size) > 0):
        y, x = np.nonzero(plane)
        if len(y):
            expected.append((i, len(y), x.mean() + 0.5, y.mean() + 0.5))

    found = summarise(detections(logits, size, class_id=[0, 1, 2, 3]), NAMES).objects
    assert sorted((o.class_id, o.area_px) for o in found) == [e[:2] for e in expected]
    for o in found:
        _, area, x, y = expected[[e[0] for e in expected].index(o.class_id)]
        # The contract allows pixels with |logit| <= 1e-4 to differ; none does.
        assert o.area_fraction == area / (size[0] * size[1])
        assert o.centroid == pytest.approx((x, y), rel=1e-12)


def test_a_summary_has_the_networks_label_box_and_score() -> None:
    box = np.array([[12.5, 0.0, 1900.25, 700.0]])
    (seen,) = summarise(detections(squares(5), class_id=[2], score=[0.75], box=box), NAMES).objects
    assert (seen.label, seen.class_id, seen.score) == ("triangle", 2, 0.75)
    assert seen.box == (12.5, 0.0, 1900.25, 700.0)
    values = (*seen.box, *seen.centroid, seen.score, seen.area_fraction)
    assert all(type(value) is float for value in values)
    assert type(seen.area_px) is int


def test_largest_mask_first() -> None:
    found = summarise(detections(squares(3, 9, 6), class_id=[0, 1, 2]), NAMES).objects
    assert [o.class_id for o in found] == [1, 2, 0]


def test_equal_areas_are_ordered_by_score_then_box_then_class() -> None:
    box = np.array([[5, 0, 9, 9], [1, 0, 9, 9], [1, 0, 9, 9], [5, 0, 9, 9]])
    given = detections(
        squares(4, 4, 4, 4), class_id=[0, 2, 1, 3], score=[0.5, 0.5, 0.5, 0.8], box=box
    )
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
        found = summarise(given[np.array(order)], NAMES).objects
        assert [o.class_id for o in found] == [3, 1, 2, 0]


def test_objects_with_an_empty_mask_are_left_out() -> None:
    logits = squares(4, 0, 5)
    assert [
        o.class_id for o in summarise(detections(logits, class_id=[0, 1, 2]), NAMES).objects
    ] == [2, 0]


def test_unnamed_rows_and_other_classes_are_left_out_before_their_masks_are_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    computed = []

    def counted(logits: np.ndarray, size: tuple[int, int]) -> MaskRuns:
        computed.append(len(logits))
        return mask_runs(logits, size)

    given = detections(squares(9, 8, 7, 6, 5), class_id=[0, 4, 5, 90, 1])
    assert [o.label for o in summarise(given, NAMES).objects] == ["circle", "square"]
    assert [o.label for o in summarise(given, NAMES, classes={"square", "star"}).objects] == [
        "square"
    ]
    assert summarise(given, NAMES, classes=set()).objects == []
    monkeypatch.setattr("edge.events.summary.mask_runs", counted)
    summarise(given, NAMES)
    summarise(given, NAMES, classes={"square", "star"})
    assert computed == [2, 1]


def test_a_summary_tells_its_row_in_the_detections() -> None:
    given = detections(squares(3, 9, 6, 5), class_id=[0, 4, 2, 1])
    assert [(o.class_id, o.detection) for o in summarise(given, NAMES).objects] == [
        (2, 2),
        (1, 3),
        (0, 0),
    ]


def test_min_area_fraction_keeps_what_reaches_it() -> None:
    given = detections(squares(4, 8), class_id=[0, 1])
    large, small = summarise(given, NAMES).objects
    assert summarise(given, NAMES, None, small.area_fraction).objects == [large, small]
    assert summarise(given, NAMES, None, np.nextafter(small.area_fraction, 1)).objects == [large]
    assert summarise(given, NAMES, None, 1.0).objects == []


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_objects_with_a_box_or_score_that_is_not_finite_are_left_out(bad: float) -> None:
    box = np.zeros((3, 4))
    box[1, 2] = bad
    given = detections(squares(5, 6, 7), class_id=[0, 1, 2], score=[0.9, 0.8, bad], box=box)
    assert [o.class_id for o in summarise(given, NAMES).objects] == [0]


def test_no_detections_give_no_summaries() -> None:
    assert summarise(detections(np.zeros((0, 54, 54), dtype=np.float32)), NAMES).objects == []
