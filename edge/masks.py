"""Masks at frame resolution: the official post-processing bit for bit, at their support's cost.

The official mask of an object is ``F.interpolate(logits, frame size, mode="bilinear") > 0`` over
the whole frame. A pixel can only be positive where one of its four taps on the mask grid is, so it
is enough to interpolate the rectangle that the positive cells reach.

Equality does not rest on a copy of torch's arithmetic, which differs between builds (fused
multiply-add or not). The weights are read out of the official operation itself; our own sum then
differs from the official one by rounding alone, and the few pixels so near 0 that rounding could
change their sign are decided by the official operation.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

# A four-tap sum of positive weights, in whatever order, with fused multiply-add or without, is off
# by at most 7 roundings of 2**-24 of the largest tap: ours and the official one by 14 together.
_ROUNDING = 2.0**-20
# Between these peaks nothing that matters can underflow or overflow. (NaN is not between them.)
_SMALLEST_PEAK, _LARGEST_PEAK = 2.0**-80, 2.0**100
# Where output height + width <= 128, torch takes another kernel on the CPU, with weights of its
# own. Frames with a side below this are small anyway: whole planes of the official operation.
_SMALLEST_SIDE = 256
_MOST_SINGLE_PIXELS = 64  # past these, the whole plane is the cheaper question

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class MaskCrop:
    """A mask, and where its top left pixel lies in the frame; every pixel outside is False.

    ``mask`` bool ``[h, w]`` holds all positive pixels but is not their bounding box: it is what
    the positive grid cells can reach. Without a positive cell it may be ``[0, 0]``.
    """

    x: int
    y: int
    mask: Mask


def resize_masks(
    mask_logits: Floats, size: tuple[int, int], device: str | torch.device = "cpu"
) -> list[MaskCrop]:
    """The masks of K objects at frame size, each as a rectangle that holds all its pixels.

    ``mask_logits`` float32 ``[K, m, n]`` on the mask grid; ``size`` (height, width) in pixels;
    ``device``: whose official result is meant, since the last bit may differ between devices.
    Equal to ``F.interpolate(mask_logits[:, None], size, mode="bilinear") > 0`` on that device for
    any input, infinities and NaN (not above 0) included.
    """
    count, *grid = mask_logits.shape
    if not count:
        return []
    device = torch.device(device)
    if min(size) < _SMALLEST_SIDE:
        return [MaskCrop(0, 0, _official(one[None], size, device)[0] > 0) for one in mask_logits]
    resize = _resize((grid[0], grid[1]), size, device)
    return [resize.crop(logits) for logits in mask_logits]


def full_masks(
    mask_logits: Floats, size: tuple[int, int], device: str | torch.device = "cpu"
) -> Mask:
    """The masks of ``resize_masks`` as planes: bool ``[K, height, width]``."""
    planes = np.zeros((len(mask_logits), *size), dtype=np.bool_)  # untouched pages cost nothing
    for plane, crop in zip(planes, resize_masks(mask_logits, size, device), strict=True):
        height, width = crop.mask.shape
        plane[crop.y : crop.y + height, crop.x : crop.x + width] = crop.mask
    return planes


@dataclass(frozen=True, slots=True, eq=False)
class _Axis:
    """Where each output position of one axis reads on the grid, and with which weights.

    ``first``, ``second`` intp ``[out]``, never falling; ``near``, ``far`` float32 ``[out]``, the
    weights of the two.
    """

    first: Indices
    second: Indices
    near: Floats
    far: Floats

    def __len__(self) -> int:
        return len(self.first)

    def reach(self, hit: Mask) -> slice:
        """The output positions that read one of the marked grid cells (bool ``[grid]``)."""
        cells = np.flatnonzero(hit)
        if not len(cells):
            return slice(0, 0)
        start = np.searchsorted(self.first, cells[0] - 1, side="left")
        stop = np.searchsorted(self.first, cells[-1], side="right")
        return slice(int(start), int(stop))


@dataclass(frozen=True, slots=True, eq=False)
class _Resize:
    """The resize from one mask grid to one frame size, on one device."""

    rows: _Axis
    columns: _Axis
    device: torch.device

    def plane(self, logits: Floats) -> Floats:
        """The official operation on one object: ``[m, n]`` to ``[height, width]``."""
        size = len(self.rows), len(self.columns)
        plane: Floats = _official(logits[None], size, self.device)[0]
        return plane

    def crop(self, logits: Floats) -> MaskCrop:
        """The mask of one object's ``logits`` ``[m, n]``."""
        positive = logits > 0
        y = self.rows.reach(np.any(positive, axis=1))
        x = self.columns.reach(np.any(positive, axis=0))
        if y.start == y.stop or x.start == x.stop:  # none, or none that a pixel reads
            return MaskCrop(0, 0, np.zeros((0, 0), dtype=np.bool_))
        return MaskCrop(x.start, y.start, self._mask(logits, y, x))

    def _mask(self, logits: Floats, y: slice, x: slice) -> Mask:
        """The mask in the rectangle ``[y, x]`` of the frame."""
        rows, columns = self.rows, self.columns
        top, left = rows.first[y.start], columns.first[x.start]
        cells = logits[top : rows.second[y.stop - 1] + 1, left : columns.second[x.stop - 1] + 1]
        peak = float(np.abs(cells).max())
        if not _SMALLEST_PEAK < peak < _LARGEST_PEAK:
            return self.plane(logits)[y, x] > 0

        across = cells.take(columns.first[x] - left, axis=1) * columns.near[x]
        across += cells.take(columns.second[x] - left, axis=1) * columns.far[x]
        values = across.take(rows.first[y] - top, axis=0)
        values *= rows.near[y, None]
        below = across.take(rows.second[y] - top, axis=0)
        below *= rows.far[y, None]
        values += below  # [height, width] of the rectangle

        mask: Mask = values > 0
        distance = np.abs(values, out=values)
        if distance.min() > _ROUNDING * peak:
            return mask
        near_y, near_x = np.nonzero(distance <= _ROUNDING * peak)
        doubt = self._doubt(logits, near_y + y.start, near_x + x.start)
        unsure = distance[near_y, near_x] <= doubt
        if np.count_nonzero(unsure) > _MOST_SINGLE_PIXELS or not _separable(self.device):
            return self.plane(logits)[y, x] > 0
        near_y, near_x = near_y[unsure], near_x[unsure]
        mask[near_y, near_x] = self.pixels(logits, near_y + y.start, near_x + x.start) > 0
        return mask

    def _doubt(self, logits: Floats, y: Indices, x: Indices) -> Floats:
        """How far from the official values ours can be at the pixels ``[P]``."""
        above, below = self.rows.first[y], self.rows.second[y]
        left, right = self.columns.first[x], self.columns.second[x]
        taps = np.abs(logits[[above, above, below, below], [left, right, left, right]])  # [4, P]
        largest = np.maximum(taps.max(axis=0), np.float32(_SMALLEST_PEAK))
        doubt: Floats = largest * np.float32(_ROUNDING)
        return doubt

    def pixels(self, logits: Floats, y: Indices, x: Indices) -> Floats:
        """The official values ``[P]`` at single pixels, exact where ``_separable`` holds.

        The official operation runs along the two grid rows of each pixel, then down the column of
        the two results; the other axis has a single cell each time, whose weight is 1.
        """
        if not len(y):
            return np.zeros(0, dtype=np.float32)
        above, below, each = self.rows.first[y], self.rows.second[y], np.arange(len(y))
        across = (1, len(self.columns))
        column = np.zeros((len(y), len(logits), 1), dtype=np.float32)
        column[each, above, 0] = _official(logits[above, None], across, self.device)[each, 0, x]
        column[each, below, 0] = _official(logits[below, None], across, self.device)[each, 0, x]
        values: Floats = _official(column, (len(self.rows), 1), self.device)[each, y, 0]
        return values


def _official(logits: Floats, size: tuple[int, int], device: torch.device) -> Floats:
    """The official operation: float32 ``[K, m, n]`` to ``[K, height, width]``."""
    planes = torch.from_numpy(np.ascontiguousarray(logits))[:, None].to(device)
    resized = F.interpolate(planes, size=size, mode="bilinear", align_corners=False)
    values: Floats = resized[:, 0].cpu().numpy()
    return values


@lru_cache(maxsize=32)
def _resize(grid: tuple[int, int], size: tuple[int, int], device: torch.device) -> _Resize:
    """The resize of these sizes, weights worked out. Kept for the few frame sizes of a process."""
    return _Resize(_axis(grid[0], size[0], device), _axis(grid[1], size[1], device), device)


def _axis(grid: int, out: int, device: torch.device) -> _Axis:
    """The axis from ``grid`` cells to ``out`` positions, as the official operation has it.

    Its response to an impulse in each cell is its weights, free of rounding: 1 * weight + 0.
    """
    impulses = np.eye(grid, dtype=np.float32)[:, None]  # [grid, 1, grid]
    response = _official(impulses, (1, out), device)[:, 0]  # [grid, out]
    first = (response != 0).argmax(axis=0)
    second = np.minimum(first + 1, grid - 1)
    position = np.arange(out)
    # At the last cell the two taps are one, and `near` holds their whole weight.
    far = np.where(second > first, response[second, position], np.float32(0))
    return _Axis(first, second, response[first, position], far)


@lru_cache(maxsize=8)
def _separable(device: torch.device) -> bool:
    """Whether this build of torch computes along rows, then columns, alike for every pixel."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(27, 31)).astype(np.float32)
    resize = _resize((27, 31), (_SMALLEST_SIDE, 2 * _SMALLEST_SIDE), device)
    y, x = random.integers(0, len(resize.rows), 256), random.integers(0, len(resize.columns), 256)
    return np.array_equal(resize.pixels(logits, y, x), resize.plane(logits)[y, x])
