"""From a camera's picture to the network's input.

The official preprocessing: RGB, 0..1, stretched to the square input, ImageNet's mean and deviation.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # the same kind of tensor whoever asks first
def frame_table(height: int, width: int, resolution: int) -> Tensor:
    """All that depends on a frame's size, in one tensor of a fixed shape: int32 [6 R + 4].

    It goes to the device with the frame, so that one fixed-shape pass serves every frame size:
    2 R row offsets (y * width; all upper neighbours, then all lower ones), 2 R columns (left, then
    right), and as float32 bits R weights of the lower rows, R of the right columns, and W, H, W, H.
    """
    rows, row_weight = _linear_taps(height, resolution)
    columns, column_weight = _linear_taps(width, resolution)
    scale = torch.tensor([width, height, width, height], dtype=torch.float32)
    floats = torch.cat([row_weight, column_weight, scale])
    return torch.cat([rows * width, columns, floats.view(torch.int32)])


def _linear_taps(frame_side: int, resolution: int) -> tuple[Tensor, Tensor]:
    """Bilinear resampling of one axis with half-pixel centres, without antialiasing: the two
    neighbours of every output position int32 [2 R], and the second one's share float32 [R].
    """
    position = (torch.arange(resolution) + 0.5) * (frame_side / resolution) - 0.5
    position = position.clamp(0, frame_side - 1)
    first = position.floor().int()
    second = (first + 1).clamp(max=frame_side - 1)
    return torch.cat([first, second]), position - first


def frame_scale(table: Tensor) -> Tensor:
    """(W, H, W, H) float32 [4] of a frame's table: boxes in 0..1 times this are in its pixels."""
    return table[-4:].view(torch.float32)


class Preprocess(nn.Module):
    """Frame → input, on the frame's own device. ``resize`` is ``plain`` or ``antialias``."""

    def __init__(self, resolution: int, resize: str) -> None:
        super().__init__()
        self.resolution, self.resize = resolution, resize
        # RGB: 0..255 → normalised, as one product and one sum.
        mean, deviation = torch.tensor(MEAN), torch.tensor(DEVIATION)
        self.register_buffer("scale", (1 / (255 * deviation)).view(3, 1, 1), persistent=False)
        self.register_buffer("shift", (-mean / deviation).view(3, 1, 1), persistent=False)

    scale: Tensor
    shift: Tensor

    def forward(self, pixels: Tensor, table: Tensor, size: tuple[int, int]) -> Tensor:
        """``pixels`` uint8 [N, 3] BGR, the frame's rows one after the other and perhaps more behind
        them, with the frame's ``table`` and ``size`` (height, width) → float32 [1, 3, R, R].

        The plain resize looks at the table alone: no shape in it depends on ``size``.
        """
        if self.resize == "antialias":
            resized = self._antialiased(pixels, size)
        else:
            resized = self._plain(pixels, table)
        return torch.addcmul(self.shift, resized.flip(0), self.scale)[None]

    def _plain(self, pixels: Tensor, table: Tensor) -> Tensor:
        # Only the pixels that the output needs are read and widened: four per output pixel.
        r = self.resolution
        rows, columns = table[: 2 * r], table[2 * r : 4 * r]
        weights = table[4 * r : 6 * r].view(torch.float32)
        index = rows[:, None] + columns
        taps = pixels.index_select(0, index.flatten()).view(2 * r, 2 * r, 3)
        taps = taps.permute(2, 0, 1).float()  # [3, 2R, 2R]
        lines = torch.lerp(taps[:, :r], taps[:, r:], weights[:r, None])  # [3, R, 2R]
        return torch.lerp(lines[:, :, :r], lines[:, :, r:], weights[r:])  # [3, R, R]

    def _antialiased(self, pixels: Tensor, size: tuple[int, int]) -> Tensor:
        height, width = size
        picture = pixels[: height * width].view(height, width, 3).permute(2, 0, 1)[None].float()
        resized = (self.resolution, self.resolution)
        return F.interpolate(picture, size=resized, mode="bilinear", antialias=True)[0]
