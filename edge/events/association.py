"""How well the objects of a frame fit what was expected there, and who is given to whom."""

from typing import NamedTuple

import lap
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Cells = npt.NDArray[np.float32]
Bits = npt.NDArray[np.bool_]

_NEVER = 1e6


class Places(NamedTuple):
    """K places in the frame: ``boxes`` float64 ``[K, 4]``, x1 y1 x2 y2 in fractions of the frame;
    ``masks`` float32 ``[K, m, n]``, 0 or 1, on a grid that spans it.
    """

    boxes: Floats
    masks: Cells


def put(mask: Bits, down: int, right: int, into: Cells) -> None:
    """Put a mask ``[m, n]`` into an empty one, so many cells further; what leaves it is gone."""
    rows, columns = mask.shape
    if abs(down) < rows and abs(right) < columns:
        into[max(down, 0) : rows + min(down, 0), max(right, 0) : columns + min(right, 0)] = mask[
            max(-down, 0) : rows - max(down, 0), max(-right, 0) : columns - max(right, 0)
        ]


def overlap(expected: Places, found: Places) -> Floats:
    """``[T, N]`` from 0 to 1: the mean of the masks' and the boxes' intersection over union.

    Masks tell neighbours apart, boxes are finer than the grid.
    """
    masks = mask_iou(expected.masks, found.masks)
    return np.asarray((masks + _box_iou(expected.boxes, found.boxes)) / 2, np.float64)


def mask_iou(a: Cells, b: Cells) -> Floats:
    """Intersection over union of masks ``[T, m, n]`` and ``[N, m, n]``: ``[T, N]``."""
    if not len(a) or not len(b):
        return np.zeros((len(a), len(b)))
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    both = a @ b.T  # whole numbers below 2**24 are exact in float32
    either = a.sum(axis=1)[:, None] + b.sum(axis=1) - both
    return np.asarray(both / np.maximum(either, 1), np.float64)


def _box_iou(a: Floats, b: Floats) -> Floats:
    low = np.maximum(a[:, None, :2], b[:, :2])  # [T, N, 2]
    high = np.minimum(a[:, None, 2:], b[:, 2:])
    both = _product(np.maximum(high - low, 0))
    either = _product(a[:, 2:] - a[:, :2])[:, None] + _product(b[:, 2:] - b[:, :2]) - both
    return np.asarray(both / np.maximum(either, 1e-12), np.float64)


def _product(sides: Floats) -> Floats:
    """Of the two sides of boxes ``[..., 2]``."""
    result: Floats = sides[..., 0] * sides[..., 1]
    return result


def distance(expected: Floats, found: Floats, aspect: float, largest_ratio: float) -> Floats:
    """How far the middles of boxes ``[T, 4]`` and ``[N, 4]`` are apart: ``[T, N]``.

    In units of the larger one's size (in each direction the longer of the two sides); infinite
    where one is more than ``largest_ratio`` times as large as the other. ``aspect``: the frame's
    width over its height.
    """
    a, b = expected[:, None], found[None]  # [T, 1, 4] and [1, N, 4]
    unit = np.array([aspect, 1.0])
    sides_a = np.maximum(a[..., 2:] - a[..., :2], 1e-6) * unit
    sides_b = np.maximum(b[..., 2:] - b[..., :2], 1e-6) * unit
    middles = (a[..., 2:] + a[..., :2] - b[..., 2:] - b[..., :2]) / 2 * unit  # [T, N, 2]
    size = np.sqrt(_product(np.maximum(sides_a, sides_b)))
    ratio = np.abs(np.log(_product(sides_a) / _product(sides_b)))
    apart: Floats = np.hypot(middles[..., 0], middles[..., 1]) / size
    return np.where(ratio <= np.log(largest_ratio), apart, np.inf)


def assign(cost: Floats, most: float) -> list[tuple[int, int]]:
    """(row, column) pairs, each row and column in one at most, that cost least together.

    Only pairs below ``most`` are made, and as many as are worth it.
    """
    if not cost.size:
        return []
    columns = lap.lapjv(
        np.minimum(cost, _NEVER), extend_cost=True, cost_limit=most, return_cost=False
    )[0]
    return [(row, int(column)) for row, column in enumerate(columns) if column >= 0]
