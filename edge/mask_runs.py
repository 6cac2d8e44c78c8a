"""Masks at frame resolution as runs of pixels: the official masks, at their outline's cost.

The outline is solved between the cells of the mask grid (``edge.crossings``), in float64 and with
the official weights, so that the official operation's own rounding alone could part the two. Rows
with a pixel so near to 0 are looked at pixel by pixel, and those pixels the official operation is
asked for.
"""

from dataclasses import dataclass

import numpy as np
import torch

from edge.bilinear import (
    SMALLEST_SIDE,
    Bits,
    Floats,
    Indices,
    Resize,
    official,
    resize,
    separable,
)
from edge.crossings import ROUNDING, SMALLEST_PEAK, Doubles, crossings

_LARGEST_PEAK = 2.0**100  # up to here nothing can overflow
# Where more of an object is in doubt, its plane is the cheaper question.
_MOST_LINES, _MOST_PIXELS = 16, 64


@dataclass(frozen=True, slots=True, eq=False)
class MaskRuns:
    """The masks of K objects: a run is the pixels of a row from ``start`` up to before ``stop``.

    ``index`` (which object), ``row``, ``start``, ``stop``: intp ``[R]``, in order of object, row
    and column. No run is empty, and no two of a row overlap or touch. ``count`` is K, ``size``
    (height, width) that of the frame.
    """

    count: int
    size: tuple[int, int]
    index: Indices
    row: Indices
    start: Indices
    stop: Indices

    def moments(self) -> tuple[Indices, Doubles]:
        """The pixels of each mask ``[K]``, and their mean index + 0.5, x and y ``[K, 2]``.

        An empty mask has its mean at NaN. The sums are of whole numbers below 2**53: exact.
        """
        length = self.stop - self.start
        area = np.bincount(self.index, length, self.count)
        twice_x = np.bincount(self.index, length * (self.start + self.stop - 1), self.count)
        y = np.bincount(self.index, length * self.row, self.count)
        with np.errstate(invalid="ignore"):  # 0 / 0
            means = np.stack([twice_x / (2 * area), y / area], axis=1)
        return area.astype(np.intp), means + 0.5


def mask_runs(
    mask_logits: Floats, size: tuple[int, int], device: str | torch.device = "cpu"
) -> MaskRuns:
    """The masks of K objects at frame size.

    ``mask_logits`` float32 ``[K, m, n]`` on the mask grid; ``size`` (height, width) in pixels;
    ``device``: whose official result is meant, since the last bit may differ between devices.
    Equal to ``F.interpolate(mask_logits[:, None], size, mode="bilinear") > 0`` on that device for
    any input, infinities and NaN (not above 0) included.
    """
    count, height, width = len(mask_logits), *size
    if not count:
        return _runs(0, size, np.zeros(0, dtype=np.intp))
    device = torch.device(device)
    # Frames with a side below the limit are small anyway: whole planes of the official operation.
    by_plane: Bits = np.full(count, min(size) < SMALLEST_SIDE)
    ends: Indices = np.zeros(0, dtype=np.intp)
    if min(size) >= SMALLEST_SIDE:
        grid = (mask_logits.shape[1], mask_logits.shape[2])
        peaks = np.maximum(mask_logits.max(axis=(1, 2)), -mask_logits.min(axis=(1, 2)))
        positive = mask_logits > 0
        by_plane |= ~_plain(mask_logits, positive, peaks)
        positive[by_plane] = False
        ends, lines = crossings(grid, size, device).solve(mask_logits, positive, peaks)
        if len(lines):
            decided, undecided = _decide(mask_logits, lines, resize(grid, size, device))
            by_plane |= undecided
            line = ends // (width + 1)
            ends = ends[~(np.isin(line, lines) | by_plane[line // height])]
            ends = np.concatenate([ends, decided])
    for k in np.flatnonzero(by_plane):
        mask = official(mask_logits[k : k + 1], size, device)[0] > 0
        ends = np.concatenate([ends, _ends(mask, k * height + np.arange(height))])
    return _runs(count, size, ends)


def _plain(logits: Floats, positive: Bits, peaks: Floats) -> Bits:
    """Which objects ``[K]`` have finite logits of a magnitude that neither over- nor underflows."""
    plain: Bits = (peaks > SMALLEST_PEAK) & (peaks < _LARGEST_PEAK)  # NaN is neither
    if np.count_nonzero(positive) != np.count_nonzero(logits > SMALLEST_PEAK):
        plain &= ~(positive & (logits <= SMALLEST_PEAK)).any(axis=(1, 2))
    return plain


def _decide(logits: Floats, lines: Indices, resize: Resize) -> tuple[Indices, Bits]:
    """The ends in these lines as the official operation has them, and the objects ``[K]`` left.

    Left are those with too much in doubt to ask for it by the pixel; the ends are the others'.
    """
    rows, columns, count = resize.rows, resize.columns, len(logits)
    left: Bits = np.bincount(lines // len(rows), minlength=count) > _MOST_LINES
    lines = lines[~left[lines // len(rows)]]
    k = lines // len(rows)
    y = lines - k * len(rows)
    above, below = logits[k, rows.first[y]], logits[k, rows.second[y]]  # [L, n]
    peaks = np.maximum(np.maximum(np.abs(above), np.abs(below)), np.float32(SMALLEST_PEAK))
    across = np.float64(above) * rows.near[y, None] + np.float64(below) * rows.far[y, None]
    values = across[:, columns.first] * columns.near + across[:, columns.second] * columns.far
    limits = ROUNDING * np.maximum(peaks[:, columns.first], peaks[:, columns.second])
    mask = values > 0  # [L, width]
    line, x = np.nonzero(np.abs(values) <= limits)

    left |= np.bincount(k[line], minlength=count) > _MOST_PIXELS
    if not separable(resize.device):
        left[k[line]] = True
    asked = ~left[k[line]]
    line, x = line[asked], x[asked]
    mask[line, x] = resize.pixels(logits, k[line], y[line], x) > 0
    decided = ~left[k]
    return _ends(mask[decided], lines[decided]), left


def _ends(mask: Bits, lines: Indices) -> Indices:
    """Where the runs of these lines begin and end, by line and column: bool ``[L, width]``."""
    count, width = mask.shape
    padded = np.zeros(count * (width + 1) + 1, dtype=np.bool_)
    padded[1:].reshape(count, width + 1)[:, :width] = mask
    ends = np.flatnonzero(padded[1:] != padded[:-1])
    line = ends // (width + 1)
    return ends + (lines[line] - line) * (width + 1)


def _runs(count: int, size: tuple[int, int], ends: Indices) -> MaskRuns:
    """The runs that begin and end at ``ends``, in any order."""
    height, width = size
    ends = np.sort(ends)
    different = ends[1:] != ends[:-1]
    if not different.all():
        # A square can have all of its pixels on one side of its crossing. Where so one run ends
        # and another begins, or the same, there is neither.
        firsts = np.append(0, np.flatnonzero(different) + 1)
        times = np.diff(firsts, append=len(ends))
        ends = ends[firsts[times % 2 == 1]]
    start, stop = ends[0::2], ends[1::2]
    line = start // (width + 1)
    index = line // height
    origin = line * (width + 1)
    return MaskRuns(count, size, index, line - index * height, start - origin, stop - origin)
