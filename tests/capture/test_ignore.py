"""What must not be looked at is black before anybody else sees the picture."""

import cv2
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from edge.capture.ignore import IgnoreMask

Polygon = list[tuple[float, float]]

THOUSANDTHS = st.integers(0, 1000).map(lambda number: number / 1000)
FINE = 8  # points a pixel and direction that the polygons are looked at by


def blackened(polygons: list[Polygon], size: tuple[int, int]) -> np.ndarray:
    """Which pixels of a white frame are black: bool ``[H, W]``."""
    image = np.full((*size, 3), 255, np.uint8)
    IgnoreMask(polygons).blacken(image)
    black = (image == 0).all(axis=2)
    assert (image[~black] == 255).all()
    return black


def touched(polygon: Polygon, size: tuple[int, int]) -> np.ndarray:
    """Which pixels the polygon has a part of, its sides included: bool ``[H, W]``."""
    height, width = size
    points = np.array(polygon) * (width, height)
    y, x = (np.mgrid[: height * FINE, : width * FINE] + 0.5) / FINE
    inside = np.zeros(x.shape, np.bool_)
    pixels = np.zeros(size, np.bool_)
    for start, stop in zip(points, np.roll(points, -1, axis=0), strict=True):
        met = (start[1] <= y) != (stop[1] <= y)
        if start[1] != stop[1]:
            at = start[0] + (y - start[1]) * ((stop[0] - start[0]) / (stop[1] - start[1]))
            inside ^= met & (x < at)
        side = start + np.linspace(0, 1, FINE * (height + width))[:, None] * (stop - start)
        column, row = np.floor(side).astype(np.intp).T
        seen = (row < height) & (column < width)  # else on the frame's far edge, outside it
        pixels[row[seen], column[seen]] = True
    return pixels | inside.reshape(height, FINE, width, FINE).any(axis=(1, 3))


@settings(max_examples=60, deadline=None)
@example([[(0.0, 0.667), (0.0, 0.668), (0.376, 1.0)]], (36, 64))  # cut off at the frame's edge
@given(
    st.lists(
        st.lists(st.tuples(THOUSANDTHS, THOUSANDTHS), min_size=3, max_size=6),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from([(36, 64), (50, 31), (9, 9)]),
)
def test_every_pixel_that_a_polygon_touches_is_black(
    polygons: list[Polygon], size: tuple[int, int]
) -> None:
    for polygon in polygons:  # the configuration takes none without an area
        assume(cv2.contourArea(np.array(polygon, np.float32)) > 0)
    must = np.logical_or.reduce([touched(polygon, size) for polygon in polygons])
    black = blackened(polygons, size)
    assert not (must & ~black).any()
    # … and nothing is that is further than two pixels away
    assert not (black & (cv2.dilate(must.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0)).any()


def test_a_side_within_a_pixel_takes_the_pixel() -> None:
    # From 10.7 to 20.2 and from 5.6 to 8.3: rounded, the corners would leave a rim to be seen.
    polygon = [(0.107, 0.056), (0.202, 0.056), (0.202, 0.083), (0.107, 0.083)]
    assert blackened([polygon], (100, 100))[5:9, 10:21].all()


@pytest.mark.parametrize("size", [(36, 64), (1080, 1920)])
def test_the_whole_frame(size: tuple[int, int]) -> None:
    assert blackened([[(0, 0), (1, 0), (1, 1), (0, 1)]], size).all()


def test_no_polygon_blackens_nothing() -> None:
    assert not blackened([], (36, 64)).any()


def test_overlapping_polygons_stay_black_where_they_overlap() -> None:
    left = [(0.1, 0.1), (0.6, 0.1), (0.6, 0.9), (0.1, 0.9)]
    right = [(0.4, 0.1), (0.9, 0.1), (0.9, 0.9), (0.4, 0.9)]
    assert blackened([left, right], (100, 100))[10:91, 10:91].all()


def test_what_polygons_leave_free_in_their_midst_stays_visible() -> None:
    sides = [(0, 0, 1, 0.2), (0, 0.8, 1, 1), (0, 0, 0.2, 1), (0.8, 0, 1, 1)]
    frame = [[(x1, y1), (x2, y1), (x2, y2), (x1, y2)] for x1, y1, x2, y2 in sides]
    # The same as one polygon, in and out along a seam.
    seam = [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]
    hole = [(0.2, 0.2), (0.2, 0.8), (0.8, 0.8), (0.8, 0.2), (0.2, 0.2)]
    for polygons in (frame, [seam + hole]):
        black = blackened(polygons, (100, 100))
        assert not black[22:78, 24:78].any()
        assert black[:20].all()
        assert black[80:].all()
        assert black[:, :20].all()
        assert black[:, 80:].all()


def test_a_camera_that_changes_its_resolution() -> None:
    mask = IgnoreMask([[(0, 0), (0.5, 0), (0.5, 0.5), (0, 0.5)]])
    for height, width in ((40, 60), (80, 120), (40, 60)):
        image = np.full((height, width, 3), 255, np.uint8)
        mask.blacken(image)
        assert not image[: height // 2 + 1, : width // 2 + 1].any()
        assert (image[height // 2 + 2 :] == 255).all()
        assert (image[:, width // 2 + 2 :] == 255).all()
