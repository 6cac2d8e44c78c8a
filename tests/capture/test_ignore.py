"""What must not be looked at is black before anybody else sees the picture."""

import numpy as np

from edge.capture.ignore import IgnoreMask


def test_the_polygon_is_black_and_nothing_else_is() -> None:
    image = np.full((100, 200, 3), 255, np.uint8)
    IgnoreMask([[(0.25, 0.1), (0.75, 0.1), (0.75, 0.6), (0.25, 0.6)]]).blacken(image)
    expected = np.full((100, 200, 3), 255, np.uint8)
    expected[10:61, 50:151] = 0
    assert (image == expected).all()


def test_the_whole_frame() -> None:
    image = np.full((36, 64, 3), 255, np.uint8)
    IgnoreMask([[(0, 0), (1, 0), (1, 1), (0, 1)]]).blacken(image)
    assert not image.any()


def test_overlapping_polygons_stay_black_where_they_overlap() -> None:
    image = np.full((100, 100, 3), 255, np.uint8)
    left = [(0.1, 0.1), (0.6, 0.1), (0.6, 0.9), (0.1, 0.9)]
    right = [(0.4, 0.1), (0.9, 0.1), (0.9, 0.9), (0.4, 0.9)]
    IgnoreMask([left, right]).blacken(image)
    assert not image[10:91, 10:91].any()


def test_a_camera_that_changes_its_resolution() -> None:
    mask = IgnoreMask([[(0, 0), (0.5, 0), (0.5, 0.5), (0, 0.5)]])
    for height, width in ((40, 60), (80, 120)):
        image = np.full((height, width, 3), 255, np.uint8)
        mask.blacken(image)
        assert not image[: height // 2 + 1, : width // 2 + 1].any()
        assert (image[height // 2 + 1 :] == 255).all()
