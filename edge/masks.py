"""Masks at frame resolution as pixels: the official post-processing bit for bit."""

from dataclasses import dataclass

import numpy as np
import torch

from edge.bilinear import Bits, Floats
from edge.mask_runs import MaskRuns, mask_runs


@dataclass(frozen=True, slots=True, eq=False)
class MaskCrop:
    """A mask, bool ``[h, w]``, and where its top left pixel lies in the frame.

    The rectangle is the mask's extent; every pixel outside is False. An empty mask is ``[0, 0]``.
    """

    x: int
    y: int
    mask: Bits


def resize_masks(
    mask_logits: Floats, size: tuple[int, int], device: str | torch.device = "cpu"
) -> list[MaskCrop]:
    """The masks of K objects at frame size, each within its extent.

    ``mask_logits`` float32 ``[K, m, n]`` on the mask grid; ``size`` (height, width) in pixels;
    ``device``: whose official result is meant, since the last bit may differ between devices.
    Equal to ``F.interpolate(mask_logits[:, None], size, mode="bilinear") > 0`` on that device for
    any input, infinities and NaN (not above 0) included.
    """
    runs = mask_runs(mask_logits, size, device)
    bounds = np.searchsorted(runs.index, np.arange(runs.count + 1))
    return [_crop(runs, slice(*bounds[k : k + 2])) for k in range(runs.count)]


def full_masks(
    mask_logits: Floats, size: tuple[int, int], device: str | torch.device = "cpu"
) -> Bits:
    """The masks of ``resize_masks`` as planes: bool ``[K, height, width]``."""
    planes = np.zeros((len(mask_logits), *size), dtype=np.bool_)  # untouched pages cost nothing
    for plane, crop in zip(planes, resize_masks(mask_logits, size, device), strict=True):
        height, width = crop.mask.shape
        plane[crop.y : crop.y + height, crop.x : crop.x + width] = crop.mask
    return planes


def _crop(runs: MaskRuns, of: slice) -> MaskCrop:
    """The mask of the object with these runs."""
    row, start, stop = runs.row[of], runs.start[of], runs.stop[of]
    if not len(row):
        return MaskCrop(0, 0, np.zeros((0, 0), dtype=np.bool_))
    x, y = int(start.min()), int(row[0])
    height, width = int(row[-1]) + 1 - y, int(stop.max()) - x
    # Pixel after pixel: False up to the first run, True to its end, …, False to the last pixel.
    origin = (row - y) * width - x
    ends = np.stack([origin + start, origin + stop], axis=1).reshape(-1)
    lengths = np.diff(ends, prepend=0, append=height * width)
    mask = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return MaskCrop(x, y, mask.reshape(height, width))
