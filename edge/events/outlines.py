"""The outlines of masks: where their resized logits are 0, followed through the mask grid."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.bilinear import Floats, Indices
from edge.crossings import Doubles, outline_squares


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """The rings that go around several masks, in the masks' order.

    An outline is where the resized logits are 0, with two straight lines through each square of
    four cells. Outer rings go round against the clock as one sees them, holes with it.

    ``index`` intp ``[R]``: of which mask; ``area``, ``length`` float64 ``[R]``, the area below 0
    for a hole; ``bounds`` intp ``[R + 1]``: ring r has the ``points`` (x, y) ``[V, 2]`` from
    ``bounds[r]`` up to ``bounds[r + 1]``.
    """

    index: Indices
    area: Doubles
    length: Doubles
    bounds: Indices
    points: Doubles

    @classmethod
    def of(cls, mask_logits: Floats, size: tuple[int, int]) -> "Outlines":
        """All rings of K masks, in pixels of the frame.

        ``mask_logits`` float32 ``[K, m, n]`` on the mask grid; ``size`` (height, width) of it.
        """
        index, points, following = _outlines(mask_logits, size)
        order, bounds = _rounds(following.tolist())
        index, bounds = index[order[bounds[:-1]]], 2 * bounds
        here = points[order].reshape(-1, 2)
        there = np.stack([points[order, 1], points[following[order], 0]], axis=1).reshape(-1, 2)
        if not len(here):
            return cls(index, here[:, 0], here[:, 0], bounds, here)
        doubled = here[:, 1] * there[:, 0] - here[:, 0] * there[:, 1]
        area = np.add.reduceat(doubled, bounds[:-1]) / 2
        length = np.add.reduceat(np.hypot(*(there - here).T), bounds[:-1])
        return cls(index, area, length, bounds, here)

    def line(self, ring: int) -> npt.NDArray[np.float32]:
        """The points (x, y) of a ring, float32 ``[V, 2]``."""
        return self.points[self.bounds[ring] : self.bounds[ring + 1]].astype(np.float32)


def _rounds(following: list[int]) -> tuple[Indices, Indices]:
    """The cycles of a permutation: all of its elements in order, and where each cycle begins."""
    order: list[int] = []
    bounds = [0]
    seen = bytearray(len(following))
    for first in range(len(following)):
        vertex = first
        while not seen[vertex]:
            seen[vertex] = 1
            order.append(vertex)
            vertex = following[vertex]
        if len(order) > bounds[-1]:
            bounds.append(len(order))
    return np.array(order, dtype=np.intp), np.array(bounds, dtype=np.intp)


def _outlines(mask_logits: Floats, size: tuple[int, int]) -> tuple[Indices, Doubles, Indices]:
    """The outlines' segments, each through one square of four cells, positive to its left.

    Of V segments, in the objects' order: the object ``[V]``, the points (x, y) at which it enters
    the square and in its middle ``[V, 2, 2]``, and which segment follows it ``[V]``.
    """
    count, m, n = mask_logits.shape
    # Around the grid lies its own border, at the sides of the frame, and around that, at the same
    # place, cells below 0: there all outlines close.
    padded = np.zeros((count, m + 4, n + 4), dtype=np.bool_)
    padded[:, 1:-1, 1:-1] = np.pad(mask_logits > 0, ((0, 0), (1, 1), (1, 1)), mode="edge")
    k, i, j = outline_squares(padded)
    # Corners clockwise from the upper left, [4, S]; side c lies between the corners c and c + 1.
    row, column = i + _CORNER_ROW, j + _CORNER_COLUMN
    outside = (row == 0) | (row == m + 3) | (column == 0) | (column == n + 3)
    values = mask_logits[k, np.clip(row - 2, 0, m - 1), np.clip(column - 2, 0, n - 1)]
    values = np.nan_to_num(values.astype(np.float64), nan=-1.0, posinf=1e38, neginf=-1e38)
    values[outside] = -1

    # Where opposite corners are positive, the sign at the saddle between them tells whether they
    # are connected.
    upper_left, upper_right, lower_right, lower_left = values
    connected = (upper_left * lower_right > upper_right * lower_left) == (upper_left > 0)
    corners = (values > 0).T @ _CORNER_BIT
    square, segment = np.nonzero(_SEGMENTS[connected.astype(np.intp), corners, :, 0] >= 0)
    start, stop = _SEGMENTS[connected.astype(np.intp), corners][square, segment].T
    # A side is known by its upper or left cell, and by whether it goes down.
    corner = (k * (m + 4) + i) * (n + 4) + j
    side = 2 * (corner + np.array([[0], [1], [n + 4], [0]])) + np.array([[0], [1], [0], [1]])
    starts, stops = side[start, square], side[stop, square]
    order = np.argsort(starts)
    following = np.searchsorted(starts[order], stops[order])

    start, stop, square = start[order], stop[order], square[order]
    values = values[:, square]
    entry, exit_ = _crossing(values, start), _crossing(values, stop)
    within = np.stack([entry, _middle(values, entry, exit_)], axis=1)
    origin, extent = [], []
    for cells, length, at in ((n, size[1], j[square]), (m, size[0], i[square])):
        centres = (np.arange(cells) + 0.5) * (length / cells)
        place = np.concatenate([[0, 0], centres, [length, length]])
        origin.append(place[at])
        extent.append(place[at + 1] - place[at])
    points = np.stack(origin, axis=1)[:, None] + within * np.stack(extent, axis=1)[:, None]
    return k[square], points, following


def _crossing(values: Doubles, side: Indices) -> Doubles:
    """Where on these sides of squares the value is 0: from (0, 0) upper left to (1, 1) ``[V, 2]``.

    ``values`` are those at the corners, ``[4, V]``.
    """
    each, end = np.arange(len(side)), (side + 1) % 4
    share = values[side, each] / (values[side, each] - values[end, each])
    corner = np.concatenate([_CORNER_COLUMN, _CORNER_ROW], axis=1)
    crossing: Doubles = corner[side] + share[:, None] * (corner[end] - corner[side])
    return crossing


def _middle(values: Doubles, entry: Doubles, exit_: Doubles) -> Doubles:
    """Where the outline, a hyperbola, is nearest to the middle of its chord, straight across it."""
    upper_left, upper_right, lower_right, lower_left = values
    across, down = upper_right - upper_left, lower_left - upper_left
    twist = upper_left - upper_right + lower_right - lower_left
    middle = (entry + exit_) / 2
    x, y = middle.T
    normal_y, normal_x = (exit_ - entry).T * np.array([[1], [-1]])
    # Along the normal the value is a + b s + c s * s.
    a = upper_left + across * x + down * y + twist * x * y
    b = (across + twist * y) * normal_x + (down + twist * x) * normal_y
    c = twist * normal_x * normal_y
    divisor = b + np.copysign(np.sqrt(np.maximum(b * b - 4 * a * c, 0)), b)
    s = np.divide(-2 * a, divisor, out=np.zeros_like(a), where=divisor != 0)
    nearest: Doubles = middle + s[:, None] * np.stack([normal_x, normal_y], axis=1)
    return nearest.clip(0, 1)


_CORNER_ROW, _CORNER_COLUMN = np.array([[0], [0], [1], [1]]), np.array([[0], [1], [1], [0]])
_CORNER_BIT = np.array([1, 2, 4, 8])


def _segments() -> Indices:
    """The outline's segments in a square, for each way in which its corners can be positive.

    intp ``[2, 16, 2, 2]``: by whether opposite corners are connected, by the corners' bits, up to
    two segments, each from a side to a side with positive to its left; -1 where there is none.
    """
    table = np.full((2, 16, 2, 2), -1)
    for bits in range(16):
        positive = [bool(bits >> c & 1) for c in range(4)]
        # Going round clockwise, these sides lead into a stretch of positive corners, and out of it.
        into = [c for c in range(4) if not positive[c] and positive[(c + 1) % 4]]
        out = [c for c in range(4) if positive[c] and not positive[(c + 1) % 4]]
        for segment, side in enumerate(into):
            onwards = [c for turn in (1, 2, 3) if (c := (side + turn) % 4) in out]
            table[0, bits, segment] = side, onwards[0]  # out of the same stretch
            table[1, bits, segment] = side, onwards[-1]  # out of the other, where there are two
    return table


_SEGMENTS = _segments()
