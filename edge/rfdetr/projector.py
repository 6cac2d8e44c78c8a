"""From the encoder's feature maps to one map of the decoder's width (C2f as in YOLOv8, with
channel LayerNorm where that has batch norm). Maps are [B, g, g, C] throughout.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge.rfdetr.variants import Variant


class ConvUnit(nn.Module):
    """Convolution without bias, LayerNorm over the channels, SiLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.LayerNorm(out_channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        if self.conv.kernel_size == (1, 1):
            x = F.linear(x, self.conv.weight.flatten(1))
        else:
            x = self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return F.silu(self.norm(x))


class Projector(nn.Module):
    def __init__(self, variant: Variant) -> None:
        super().__init__()
        hidden, half = variant.hidden, variant.hidden // 2
        self.reduce = ConvUnit(len(variant.taps) * variant.width, hidden, 1)
        self.bottlenecks = nn.ModuleList(
            nn.Sequential(ConvUnit(half, half, 3), ConvUnit(half, half, 3)) for _ in range(3)
        )
        self.merge = ConvUnit(5 * half, hidden, 1)
        self.norm = nn.LayerNorm(hidden, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [B, g, g, taps * C] → [B, g, g, hidden]."""
        parts = list(self.reduce(x).chunk(2, dim=-1))
        for bottleneck in self.bottlenecks:
            parts.append(bottleneck(parts[-1]))
        out: Tensor = self.norm(self.merge(torch.cat(parts, -1)))
        return out
