"""The official resize of mask logits: its weights, its planes, its values at single pixels.

The official mask of an object is ``F.interpolate(logits, frame size, mode="bilinear") > 0``. Its
last bits differ from build to build of torch (fused multiply-add or not), so nothing here copies
its arithmetic: the weights are read out of the operation itself, and it can be asked for the value
at a pixel.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

# Where output height + width <= 128, torch takes another kernel on the CPU, with weights of its
# own. What is said here of the operation holds for frames with no side below this.
SMALLEST_SIDE = 256

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]
Bits = npt.NDArray[np.bool_]


def official(logits: Floats, size: tuple[int, int], device: torch.device) -> Floats:
    """The official operation: float32 ``[K, m, n]`` to ``[K, height, width]``."""
    planes = torch.from_numpy(np.ascontiguousarray(logits))[:, None].to(device)
    resized = F.interpolate(planes, size=size, mode="bilinear", align_corners=False)
    values: Floats = resized[:, 0].cpu().numpy()
    return values


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
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


@dataclass(frozen=True, slots=True, eq=False)
class Resize:
    """The resize from one mask grid to one frame size, on one device."""

    rows: Axis
    columns: Axis
    device: torch.device

    def pixels(self, logits: Floats, k: Indices, y: Indices, x: Indices) -> Floats:
        """The official values ``[P]`` at pixels (y, x) of the objects ``k`` of ``[K, m, n]``.

        Exact where ``separable`` holds: the operation runs along the two grid rows of each pixel,
        then down the column of the two results; the other axis has a single cell each time, whose
        weight is 1.
        """
        if not len(k):
            return np.zeros(0, dtype=np.float32)
        each, across = np.arange(len(k)), (1, len(self.columns))
        column = np.zeros((len(k), logits.shape[1], 1), dtype=np.float32)
        for tap in (self.rows.first[y], self.rows.second[y]):
            row = official(logits[k, tap][:, None], across, self.device)
            column[each, tap, 0] = row[each, 0, x]
        values: Floats = official(column, (len(self.rows), 1), self.device)[each, y, 0]
        return values


@lru_cache(maxsize=32)
def resize(grid: tuple[int, int], size: tuple[int, int], device: torch.device) -> Resize:
    """The resize of these sizes, weights worked out. Kept for the few frame sizes of a process."""
    return Resize(_axis(grid[0], size[0], device), _axis(grid[1], size[1], device), device)


def _axis(grid: int, out: int, device: torch.device) -> Axis:
    """The axis from ``grid`` cells to ``out`` positions, as the official operation has it.

    Its response to an impulse in each cell is its weights, free of rounding: 1 * weight + 0.
    """
    impulses = np.eye(grid, dtype=np.float32)[:, None]  # [grid, 1, grid]
    response = official(impulses, (1, out), device)[:, 0]  # [grid, out]
    first = (response != 0).argmax(axis=0)
    second = np.minimum(first + 1, grid - 1)
    position = np.arange(out)
    # At the last cell the two taps are one, and `near` holds their whole weight.
    far = np.where(second > first, response[second, position], np.float32(0))
    return Axis(first, second, response[first, position], far)


@lru_cache(maxsize=8)
def separable(device: torch.device) -> bool:
    """Whether this build of torch computes along rows, then columns, alike for every pixel."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(1, 27, 31)).astype(np.float32)
    height, width = SMALLEST_SIDE, 2 * SMALLEST_SIDE
    y, x = random.integers(0, height, 256), random.integers(0, width, 256)
    asked = resize((27, 31), (height, width), device).pixels(logits, np.zeros_like(y), y, x)
    return np.array_equal(asked, official(logits, (height, width), device)[0, y, x])
