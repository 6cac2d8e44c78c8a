"""Simplified rings neither meet themselves nor each other, and are where the lines were."""

from itertools import combinations, pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.events.simplify import Line, simplified

Side = tuple[tuple[int, int], tuple[int, int]]


def sides(ring: np.ndarray) -> list[Side]:
    points = [tuple(point) for point in ring.tolist()]
    return list(pairwise([*points, points[0]]))


def turn(start: tuple[int, int], stop: tuple[int, int], point: tuple[int, int]) -> int:
    x, y = stop[0] - start[0], stop[1] - start[1]
    return x * (point[1] - start[1]) - y * (point[0] - start[0])


def between(start: tuple[int, int], stop: tuple[int, int], point: tuple[int, int]) -> bool:
    inside = [min(a, b) <= c <= max(a, b) for a, b, c in zip(start, stop, point, strict=True)]
    return turn(start, stop, point) == 0 and all(inside)


def meet(one: Side, other: Side) -> bool:
    """In whole numbers, point by point: whether the two sides have a point in common."""
    crossed = all(
        turn(*line, a) * turn(*line, b) < 0 for line, (a, b) in ((one, other), (other, one))
    )
    touching = any(
        between(*line, point) for line, ends in ((one, other), (other, one)) for point in ends
    )
    return crossed or touching


def meetings(rings: list[np.ndarray]) -> int:
    """The pairs of sides that meet where they should not."""
    number = 0
    every = [(r, i, side) for r, ring in enumerate(rings) for i, side in enumerate(sides(ring))]
    for (r, i, one), (s, j, other) in combinations(every, 2):
        if r == s and (j - i == 1 or (i == 0 and j == len(rings[r]) - 1)):
            start, middle, stop = (*one, other[1]) if j - i == 1 else (*other, one[1])
            number += between(start, middle, stop) or between(middle, stop, start)
        else:
            number += meet(one, other)
    return number


def strip(seed: int, width: float) -> Line:
    """The outline of a thin winding strip, in pixels."""
    random = np.random.default_rng(seed)
    x = np.linspace(10, 400, 120)
    waves = random.uniform(10, 25), random.uniform(40, 90), *random.uniform(0, 6.3, 2)
    y = 150 + waves[0] * np.sin(x / 17 + waves[2]) + waves[1] * np.sin(x / 60 + waves[3])
    along = np.stack([np.gradient(x), np.gradient(y)], axis=1)
    along /= np.hypot(*along.T)[:, None]
    across = width / 2 * np.stack([-along[:, 1], along[:, 0]], axis=1)
    middle = np.stack([x, y], axis=1)
    return np.concatenate([middle + across, (middle - across)[::-1]]).astype(np.float32)


def in_tenths(line: Line, tolerance: float) -> np.ndarray:
    simple = cv2.approxPolyDP(line, tolerance, closed=True)[:, 0]
    return np.rint(10 * simple.astype(np.float64)).astype(np.int64)


@pytest.mark.parametrize("tolerance", [4.0, 8.0, 12.0])
def test_a_thin_ring_does_not_cross_itself(tolerance: float) -> None:
    lines = [strip(seed, width=3) for seed in range(12)]
    plain = [in_tenths(line, tolerance) for line in lines]
    assert any(meetings([ring]) for ring in plain), "this would prove nothing"
    rings = simplified(lines, [tolerance] * len(lines), np.arange(len(lines)))
    assert [meetings([ring]) for ring in rings] == [0] * len(lines)
    for ring, other in zip(rings, plain, strict=True):
        if not meetings([other]):
            assert np.array_equal(ring, other)


def test_rings_of_one_object_do_not_cross_each_other() -> None:
    lines = [strip(seed, 3) + np.float32([0, y]) for seed in range(4) for y in (0, 14)]
    objects = np.repeat(np.arange(4), 2)
    plain = [in_tenths(line, 5.0) for line in lines]
    assert any(meetings(plain[k : k + 2]) for k in (0, 2, 4, 6)), "this would prove nothing"
    rings = simplified(lines, [5.0] * 8, objects)
    assert [meetings(rings[k : k + 2]) for k in (0, 2, 4, 6)] == [0] * 4


def test_rings_of_different_objects_may_cross() -> None:
    square = np.float32([[0, 0], [100, 0], [100, 100], [0, 100]])
    rings = simplified([square, square + 50], [5.0, 5.0], np.array([0, 1]))
    assert [len(ring) for ring in rings] == [4, 4]
    dented = np.float32([[0, 0], [50, 3], [100, 0], [100, 100], [0, 100]])
    assert [len(ring) for ring in simplified([dented] * 2, [5.0] * 2, np.array([0, 1]))] == [4, 4]
    # As one object they lie on each other, and are left as they were.
    assert [len(ring) for ring in simplified([dented] * 2, [5.0] * 2, np.array([0, 0]))] == [5, 5]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(1.0, 30.0), st.floats(0.5, 15.0))
def test_no_point_of_a_line_is_far_from_its_ring(seed: int, width: float, tolerance: float) -> None:
    line = strip(seed, width)
    (ring,) = simplified([line], [tolerance], np.zeros(1, dtype=np.intp))
    outline = (ring / 10).astype(np.float32)
    away = [abs(cv2.pointPolygonTest(outline, point.tolist(), True)) for point in line]
    assert max(away) <= 1.71 * tolerance + 0.1


def test_without_lines_there_are_no_rings() -> None:
    assert simplified([], [], np.zeros(0, dtype=np.intp)) == []
