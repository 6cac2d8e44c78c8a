"""The mask head: per-pixel features at a quarter of the input, times one vector per query
(the mask prediction of MaskDINO / Mask2Former, with ConvNeXt-like blocks).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from edge.rfdetr.variants import Variant


class SpatialBlock(nn.Module):
    """Depthwise 3x3, LayerNorm over the channels, 1x1, GELU; residual."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.norm = nn.LayerNorm(hidden, eps=1e-6)
        self.pointwise = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` [B, C, m, m] → the same shape."""
        y = self.depthwise(x).permute(0, 2, 3, 1)
        y = F.gelu(self.pointwise(self.norm(y)))
        return x + y.permute(0, 3, 1, 2)


class SegmentationHead(nn.Module):
    def __init__(self, variant: Variant, resolution: int) -> None:
        super().__init__()
        hidden = variant.hidden
        self.side = resolution // variant.mask_stride
        self.blocks = nn.ModuleList(SpatialBlock(hidden) for _ in range(variant.decoder_layers))
        self.query_norm = nn.LayerNorm(hidden, eps=1e-6)
        self.query_fc1 = nn.Linear(hidden, 4 * hidden)
        self.query_fc2 = nn.Linear(4 * hidden, hidden)
        # The official 1x1 projection of the pixels, folded into the queries' side at load:
        # (W s + b) . q = s . (W^T q) + b . q.
        self.query_projection = nn.Linear(hidden, hidden)
        self.query_bias = nn.Linear(hidden, 1)  # b . q + the official bias

    def pixels(self, memory: Tensor) -> Tensor:
        """``memory`` [B, g, g, C] → what every mask of the picture is made of, [B, C, m * m]."""
        m = self.side
        spatial = F.interpolate(
            memory.permute(0, 3, 1, 2), size=(m, m), mode="bilinear", align_corners=False
        )
        for block in self.blocks:
            spatial = block(spatial)
        return spatial.flatten(2)

    def masks(self, states: Tensor, pixels: Tensor) -> Tensor:
        """Query states [B, K, C] of the queries asked for → mask logits [B, K, m, m]."""
        q = states + self.query_fc2(F.gelu(self.query_fc1(self.query_norm(states))))
        masks = self.query_projection(q) @ pixels + self.query_bias(q)
        out: Tensor = masks.view(*states.shape[:2], self.side, self.side)
        return out
