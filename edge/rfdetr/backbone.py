"""The image encoder: DINOv2 ViT (Oquab et al., 2023) with windowed attention (as in LW-DETR).

Tokens stay window-major from the patch embedding to the last block: every window is one row of
the batch, with a class token of its own. Only the global blocks see a whole picture at once.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge.rfdetr.variants import Variant


class Block(nn.Module):
    """Pre-norm transformer block. Layer scale is folded into ``output`` and ``fc2`` at load."""

    def __init__(self, width: int, heads: int, is_global: bool) -> None:
        super().__init__()
        self.heads = heads
        self.is_global = is_global
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.qkv = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, pictures: int) -> Tensor:
        """``x`` [pictures * windows, T, C] → the same shape."""
        windows, tokens, width = x.shape
        # A global block attends over all tokens of a picture, the class token copies included.
        groups = pictures if self.is_global else windows
        qkv = self.qkv(self.norm1(x)).view(groups, -1, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [N, heads, T', C / heads]
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        x = x + self.output(attended.reshape(-1, tokens, width))
        out: Tensor = x + self.fc2(F.gelu(self.fc1(self.norm2(x))))
        return out


class Backbone(nn.Module):
    """Picture → tapped feature maps, concatenated along the channels."""

    def __init__(self, variant: Variant, resolution: int) -> None:
        super().__init__()
        v = variant
        self.windows, self.patch, self.taps = v.windows, v.patch, v.taps
        self.side = resolution // v.patch // v.windows  # tokens along one side of a window
        self.patch_embedding = nn.Linear(3 * v.patch * v.patch, v.width)
        # Class token and its position, then the positions of the window's own tokens.
        self.cls = nn.Parameter(torch.empty(1, 1, v.width))
        self.position = nn.Parameter(torch.empty(v.windows**2, self.side**2, v.width))
        self.blocks = nn.ModuleList(Block(v.width, v.heads, i in v.taps) for i in range(v.blocks))
        self.norm = nn.LayerNorm(v.width, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [B, 3, R, R], normalised RGB → [B, g, g, taps * C] with g = R / patch."""
        pictures, n, s, p = x.shape[0], self.windows, self.side, self.patch
        x = x.view(pictures, 3, n, s, p, n, s, p).permute(0, 2, 5, 3, 6, 1, 4, 7)
        x = self.patch_embedding(x.reshape(pictures, n * n, s * s, -1)) + self.position
        x = x.flatten(0, 1)  # [B * n * n, s * s, C]
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1)
        features = []
        for count, block in enumerate(self.blocks, start=1):
            x = block(x, pictures)
            if count in self.taps:
                features.append(self.norm(x)[:, 1:])
        y = torch.cat(features, -1).view(pictures, n, n, s, s, -1)
        return y.permute(0, 1, 3, 2, 4, 5).reshape(pictures, n * s, n * s, -1)
