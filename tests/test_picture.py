import cv2
import numpy as np

from edge.clock import Timestamp
from edge.detections import Detections
from edge.events.summary import summarise
from edge.frame import Frame
from edge.picture import Result

SIZE = 360, 640


def result(*rows: int) -> Result:
    """A grey frame with objects of these class rows side by side; row 1 is not reported."""
    count = len(rows)
    logits = np.full((count, 54, 54), -5, np.float32)
    boxes = np.zeros((count, 4), np.float32)
    for i in range(count):
        logits[i, 20:30, 4 + 12 * i : 14 + 12 * i] = 5
        boxes[i] = np.array([4 + 12 * i, 20, 14 + 12 * i, 30]) * np.array([640, 360, 640, 360]) / 54
    scores = np.full(count, 0.9, np.float32)
    found = Detections(scores, np.array(rows), boxes, logits, SIZE)
    image = np.full((*SIZE, 3), 90, np.uint8)
    image.setflags(write=False)
    frame = Frame("dock", 0, Timestamp(0.0, 0.0, True), image)
    objects = summarise(found, ["person", "tree", "car"], {"person", "car"}).objects
    return Result(frame, found, objects)


def drawn_columns(jpeg: bytes) -> list[bool]:
    """Which of the objects' middles are tinted."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1).astype(int)
    height, width = picture.shape[:2]
    middles = [round((9 + 12 * i) / 54 * width) for i in range(3)]
    return [bool(np.abs(picture[height * 25 // 54, x] - 90).max() > 20) for x in middles]


def test_what_is_reported_is_drawn_and_nothing_else() -> None:
    seen = result(0, 1, 2)
    assert seen.counts == {"person": 1, "car": 1}
    assert drawn_columns(seen.jpeg()) == [True, False, True]


def test_a_frame_in_which_nothing_was_found_has_a_picture_too() -> None:
    seen = result()
    assert seen.counts == {}
    assert drawn_columns(seen.jpeg()) == [False, False, False]


def test_a_smaller_picture_shows_the_same() -> None:
    seen = result(0, 1, 2)
    jpeg = seen.jpeg(max_width=320)
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1).shape == (180, 320, 3)
    assert drawn_columns(jpeg) == [True, False, True]
    assert seen.jpeg(max_width=640) == seen.jpeg()
