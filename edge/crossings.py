"""Where the outline of a resized mask crosses the rows of the frame, solved on the mask grid.

Along one row of the frame the resized logits run straight from one column of the grid to the next.
So it is enough to look at the squares between four cells that the outline passes through: in each
pixel row of such a square, the zero of the line tells at which pixel a mask begins or ends. The
work is the rows of the outline, not the pixels of the mask or of the frame.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from edge.bilinear import Bits, Floats, Indices, resize

# A four-tap sum of positive weights, in whatever order, with fused multiply-add or without, is off
# by at most 7 roundings of 2**-24 of the largest tap. Our lines, in float64, take `near` for
# 1 - `far`, which is off by one more in each direction. These are 16.
ROUNDING = 2.0**-20
# Above this peak, and where no positive cell is below it, nothing that matters can underflow.
SMALLEST_PEAK = 2.0**-80
_SQUARES_AT_ONCE = 4096  # their rows stay within the processor's cache

Doubles = npt.NDArray[np.float64]


def outline_squares(padded: Bits) -> tuple[Indices, Indices, Indices]:
    """The squares between four neighbouring cells that are not all alike: object, row, column.

    ``padded`` bool ``[K, m, n]``, False in the first and in the last column; the square (i, j)
    lies between the cells i and i + 1, j and j + 1. In this order.
    """
    _, m, n = padded.shape
    some = (padded[:, :-1] | padded[:, 1:]).reshape(-1)
    every = (padded[:, :-1] & padded[:, 1:]).reshape(-1)
    # From the last column to the next row's first nothing changes: both are False.
    squares = np.flatnonzero((some[:-1] | some[1:]) ^ (every[:-1] & every[1:]))
    band = squares // n
    k = band // (m - 1)
    return k, band - k * (m - 1), squares - band * n


@dataclass(frozen=True, slots=True, eq=False)
class Crossings:
    """What is known of the crossings from the sizes alone, for frames of 256 x 256 or more.

    The grid is padded by one cell on each side: above and below by its own border, which is what
    the official operation reads there; left and right by cells below 0, where all runs end.

    ``first_y`` intp ``[m + 1]`` is the first pixel row in the squares of a row; ``near``, ``far``
    float64 ``[m + 1, rows]`` the weights of its pixel rows, NaN where there are fewer. ``left``,
    ``width`` float64 ``[n + 1]``: where the squares of a column begin and how wide they are, in
    pixel indices. ``source`` float64 ``[frame width + 1]``: where pixels read, in padded cells.
    """

    size: tuple[int, int]
    first_y: Indices
    near: Doubles
    far: Doubles
    left: Doubles
    width: Doubles
    source: Doubles

    def solve(self, logits: Floats, positive: Bits, peaks: Floats) -> tuple[Indices, Indices]:
        """Where runs of pixels begin and end, and the lines in which that is in doubt.

        ``logits`` float32 ``[K, m, n]``; ``positive`` bool: where they are above 0, or all False
        for an object to be passed over; ``peaks`` float32 ``[K]``: their largest magnitudes.

        A line is ``object * height + row``, an end ``line * (width + 1) + column``: the pixel from
        which on the mask is another than before. Both come unordered. In lines that are not in
        doubt the ends are the official masks'.
        """
        count, m, n = positive.shape
        padded = np.zeros((count, m + 2, n + 2), dtype=np.bool_)
        padded[:, 1:-1, 1:-1] = positive
        padded[:, 0], padded[:, -1] = padded[:, 1], padded[:, -2]
        k, i, j = outline_squares(padded)
        ends: list[Indices] = [np.zeros(0, dtype=np.intp)]
        lines: list[Indices] = [np.zeros(0, dtype=np.intp)]
        for start in range(0, len(k), _SQUARES_AT_ONCE):
            part = slice(start, start + _SQUARES_AT_ONCE)
            some_ends, some_lines = self._solve(logits, peaks, k[part], i[part], j[part])
            ends.append(some_ends)
            lines.append(some_lines)
        return np.concatenate(ends), np.unique(np.concatenate(lines))

    def _solve(
        self, logits: Floats, peaks: Floats, k: Indices, i: Indices, j: Indices
    ) -> tuple[Indices, Indices]:
        """The ends and the doubtful lines of the squares (i, j) of the objects k, ``[S]`` each."""
        height, width = self.size
        taps = _taps(logits, peaks, k, i, j)
        doubt = ROUNDING * np.maximum(np.abs(taps).max(axis=0), SMALLEST_PEAK)
        near, far = self.near.take(i, axis=0), self.far.take(i, axis=0)
        # The line in each pixel row, at its two ends: [S, rows]
        start = taps[0, :, None] * near
        start += taps[2, :, None] * far
        stop = taps[1, :, None] * near
        stop += taps[3, :, None] * far
        crossed = np.flatnonzero((start > 0) != (stop > 0))
        # Where an end of a line is all but 0, so may pixels be, whether the line crosses or not.
        weak = np.flatnonzero(np.minimum(np.abs(start), np.abs(stop)) <= doubt[:, None])

        rows = near.shape[1]
        first_line = k * height + self.first_y.take(i)
        square = crossed // rows
        line = first_line.take(square) + (crossed - square * rows)
        value = start.take(crossed)
        rise = stop.take(crossed) - value
        x = self.left.take(j).take(square) - self.width.take(j).take(square) * (value / rise)
        # Of all pixels, the nearest alone can lie on either side for want of a digit.
        pixel = np.rint(x).astype(np.intp)
        there = value + (self.source.take(pixel) - j.take(square)) * rise
        end = pixel + ((there > 0) == (value > 0))

        limit = doubt.take(square)
        # A pixel is len(left) / width of a square wide; the next to nearest is half of it away.
        flat = np.abs(rise) * (0.25 * (len(self.left) - 1) / width) <= limit
        unsure = line[(np.abs(there) <= limit) | flat]
        square = weak // rows
        weak = first_line.take(square) + (weak - square * rows)
        return line * (width + 1) + end, np.concatenate([unsure, weak])


def _taps(logits: Floats, peaks: Floats, k: Indices, i: Indices, j: Indices) -> Doubles:
    """The four cells of each square: two of the upper row, two of the lower ``[4, S]``."""
    _, m, n = logits.shape
    above = (k * m + np.maximum(i - 1, 0)) * n
    below = (k * m + np.minimum(i, m - 1)) * n
    left, right = np.maximum(j - 1, 0), np.minimum(j, n - 1)
    places = np.array([above + left, above + right, below + left, below + right])
    taps = logits.reshape(-1).take(places).astype(np.float64)
    outside = np.flatnonzero(j == 0)
    taps[0::2, outside] = -peaks[k[outside]]
    outside = np.flatnonzero(j == n)
    taps[1::2, outside] = -peaks[k[outside]]
    return taps


@lru_cache(maxsize=32)
def crossings(grid: tuple[int, int], size: tuple[int, int], device: torch.device) -> Crossings:
    """The crossings between these sizes. Kept for the few frame sizes of a process."""
    (m, n), (height, width) = grid, size
    official = resize(grid, size, device)
    rows, columns = official.rows, official.columns
    # Rows that read the uppermost cell alone are in the squares above it.
    band = np.where((rows.first == 0) & (rows.far == 0), 0, rows.first + 1)
    first_y = np.searchsorted(band, np.arange(m + 2))
    y = first_y[:-1, None] + np.arange(np.diff(first_y).max())
    inside = y < first_y[1:, None]
    y = np.minimum(y, height - 1)

    ratio = width / n
    # The centres of the padded cells.
    left = (np.arange(n + 1, dtype=np.float64) - 0.5) * ratio - 0.5
    widths: Doubles = np.full(n + 1, ratio)
    # The outermost squares have no pixels: their runs end at the frame's sides.
    left[0], left[-1] = 0, width
    widths[0] = widths[-1] = 0
    source = columns.first + columns.far.astype(np.float64) + 1
    return Crossings(
        size,
        first_y[:-1],
        np.where(inside, rows.near[y], np.nan).astype(np.float64),
        np.where(inside, rows.far[y], np.nan).astype(np.float64),
        left,
        widths,
        np.append(source, n + 1),
    )
