"""From a camera's picture to the network's input.

The official preprocessing: RGB, 0..1, stretched to the square input, ImageNet's mean and deviation.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


class Taps(NamedTuple):
    """Where one axis of the input reads the frame: ``source`` int64 [2 * R], the two neighbours of
    every output position, all left ones first; ``weight`` float32 [R], the right one's share.
    """

    source: Tensor
    weight: Tensor


@lru_cache(maxsize=32)
def linear_taps(frame_side: int, resolution: int, device: torch.device) -> Taps:
    """Bilinear resampling with half-pixel centres, without antialiasing, of one axis."""
    position = (torch.arange(resolution) + 0.5) * (frame_side / resolution) - 0.5
    position = position.clamp(0, frame_side - 1)
    left = position.floor().long()
    right = (left + 1).clamp(max=frame_side - 1)
    return Taps(torch.cat([left, right]).to(device), (position - left).float().to(device))


class Preprocess:
    """Frame → input, on the frame's own device. ``resize`` is ``plain`` or ``antialias``."""

    def __init__(self, resolution: int, resize: str, device: torch.device) -> None:
        self.resolution, self.resize, self.device = resolution, resize, device
        # RGB: 0..255 → normalised, as one product and one sum.
        mean, deviation = torch.tensor(MEAN), torch.tensor(DEVIATION)
        self._scale = (1 / (255 * deviation)).view(3, 1, 1).to(device)
        self._shift = (-mean / deviation).view(3, 1, 1).to(device)

    def __call__(self, frame: Tensor, out: Tensor) -> None:
        """``frame`` uint8 [H, W, 3] BGR → ``out`` float32 [1, 3, R, R], written in place."""
        resized = self._antialiased(frame) if self.resize == "antialias" else self._plain(frame)
        torch.addcmul(self._shift, resized.flip(0), self._scale, out=out[0])

    def _plain(self, frame: Tensor) -> Tensor:
        # Only the pixels that the output needs are read and widened: four per output pixel.
        height, width, _ = frame.shape
        r = self.resolution
        y = linear_taps(height, r, self.device)
        x = linear_taps(width, r, self.device)
        taps = frame.index_select(0, y.source).index_select(1, x.source)  # [2R, 2R, 3]
        taps = taps.permute(2, 0, 1).float()
        rows = torch.lerp(taps[:, :r], taps[:, r:], y.weight[:, None])  # [3, R, 2R]
        return torch.lerp(rows[:, :, :r], rows[:, :, r:], x.weight)  # [3, R, R]

    def _antialiased(self, frame: Tensor) -> Tensor:
        picture = frame.permute(2, 0, 1)[None].float()
        size = (self.resolution, self.resolution)
        return F.interpolate(picture, size=size, mode="bilinear", antialias=True)[0]
