"""Rings with fewer points that still do not meet themselves or each other."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from edge.bilinear import Bits, Indices

Line = npt.NDArray[np.float32]  # [V, 2]
Tenths = npt.NDArray[np.int64]  # [V, 2], in tenths of a pixel
_BANDS = 64  # of the frame's height: in noise each has few enough sides to compare them all


def simplified(
    lines: Sequence[Line], tolerances: Sequence[float], objects: Indices
) -> list[Tenths]:
    """Closed lines, points (x, y) in pixels, as rings of fewer points, in tenths of a pixel.

    By Douglas and Peucker: no point of a line is further than its tolerance from the ring's sides,
    as good as (half as far again where OpenCV joins two of them at last). Where rings of the same
    object, or the sides of one, meet, these are simplified less, or not at all. So they meet only
    where the lines themselves do, to the tenth of a pixel.

    ``objects`` intp ``[len(lines)]`` says of which object each line is.
    """
    pairs = zip(lines, tolerances, strict=True)
    rings = [_simplified(line, tolerance) for line, tolerance in pairs]
    for share in (0.25, 0.0):
        meeting = _meeting(rings, objects).tolist() if rings else []
        if not meeting:
            break
        for r in meeting:
            rings[r] = _simplified(lines[r], share * tolerances[r])
    return rings


def _simplified(line: Line, tolerance: float) -> Tenths:
    ring = _in_tenths(cv2.approxPolyDP(line, tolerance, closed=True)[:, 0])
    return ring if len(ring) > 2 else _in_tenths(line)


def _in_tenths(points: Line) -> Tenths:
    """The points, each but once where neighbours are the same, if that leaves three."""
    ring: Tenths = np.rint(points * np.float64(10)).astype(np.int64)
    again = (ring[1:] == ring[:-1]).all(axis=1)
    if again.any():
        distinct = np.concatenate([ring[:1], ring[1:][~again]])
        ring = distinct if len(distinct) > 2 else ring
    return ring


def _meeting(rings: Sequence[Tenths], objects: Indices) -> Indices:
    """Which rings have a side that meets another of the same object, but for its neighbours."""
    sizes = [len(ring) for ring in rings]
    ring = np.repeat(np.arange(len(rings)), sizes)
    here = np.concatenate(rings)
    following = np.arange(1, len(here) + 1)
    stops = np.cumsum(sizes)
    following[stops - 1] = stops - sizes
    there = here[following]
    along = there - here
    back = (_turn(along, along[following]) == 0) & ((along * along[following]).sum(axis=1) < 0)

    one, other = _neighbours(np.minimum(here, there), np.maximum(here, there), objects[ring])
    apart = (following[one] != other) & (following[other] != one)
    one, other = one[apart], other[apart]
    meet = _straddles(here[one], along[one], here[other], there[other])
    meet &= _straddles(here[other], along[other], here[one], there[one])
    meeting: Indices = np.unique(
        ring[np.concatenate([np.flatnonzero(back), one[meet], other[meet]])]
    )
    return meeting


def _neighbours(low: Tenths, high: Tenths, objects: Indices) -> tuple[Indices, Indices]:
    """The pairs of sides of the same object whose extents overlap or touch, some of them twice.

    ``low``, ``high`` ``[S, 2]`` are the sides' extents, ``objects`` ``[S]`` whose they are.
    """
    height = high[:, 1].max() // _BANDS + 1
    first = low[:, 1] // height
    bands = high[:, 1] // height - first + 1
    side, above = _spread(bands)
    # The bands of all objects side by side, so that only sides of the same one are neighbours.
    shift = (objects[side] * _BANDS + first[side] + above) * (high[:, 0].max() + 1)
    left = low[side, 0] + shift
    order = np.argsort(left)
    left, right = left[order], (high[side, 0] + shift)[order]
    # Each with all that begin where it has not yet ended, going from left to right.
    later = np.searchsorted(left, right, side="right") - np.arange(1, len(left) + 1)
    place, after = _spread(later)
    one, other = side[order[place]], side[order[place + 1 + after]]
    near = (low[one, 1] <= high[other, 1]) & (low[other, 1] <= high[one, 1])
    return one[near], other[near]


def _spread(numbers: Indices) -> tuple[Indices, Indices]:
    """Each index as often as its number says, and which time it is: 0, 1, 2, …"""
    index = np.repeat(np.arange(len(numbers)), numbers)
    return index, np.arange(len(index)) - np.repeat(np.cumsum(numbers) - numbers, numbers)


def _straddles(start: Tenths, along: Tenths, one: Tenths, other: Tenths) -> Bits:
    """Whether these two points are not both on the same side of the line."""
    straddles: Bits = np.sign(_turn(along, one - start)) * np.sign(_turn(along, other - start)) <= 0
    return straddles


def _turn(one: Tenths, other: Tenths) -> npt.NDArray[np.int64]:
    turn: npt.NDArray[np.int64] = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    return turn
