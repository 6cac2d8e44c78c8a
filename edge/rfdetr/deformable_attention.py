"""Deformable attention on one feature level (Zhu et al., 2020): each query samples a few points."""

import torch.nn.functional as F
from torch import Tensor, nn


class DeformableAttention(nn.Module):
    """Samples ``points`` locations per head around a query's reference box.

    The values are projected outside (one product for all decoder layers). Locations and sampling
    are float32 in every precision: half precision cannot place a sample well on such a map.
    """

    def __init__(self, hidden: int, heads: int, points: int) -> None:
        super().__init__()
        self.heads, self.points = heads, points
        self.offsets = nn.Linear(hidden, heads * points * 2)
        self.weights = nn.Linear(hidden, heads * points)
        self.output = nn.Linear(hidden, hidden)

    def forward(self, query: Tensor, reference: Tensor, value: Tensor) -> Tensor:
        """``query`` [B, Q, C], ``reference`` [B, Q, 4] cxcywh in 0..1 and
        ``value`` float32 [B, heads, C / heads, g, g] → [B, Q, C].
        """
        b, q, channels = query.shape
        offsets = self.offsets(query).float().view(b, q, self.heads, self.points, 2)
        weights = self.weights(query).float().view(b, q, self.heads, self.points).softmax(-1)
        # An offset of 1 with n points is a 2n-th of the box: the official scale.
        box = reference[:, :, None, None]
        locations = box[..., :2] + offsets * (0.5 / self.points) * box[..., 2:]
        grid = (2 * locations - 1).transpose(1, 2).flatten(0, 1)  # [B * heads, Q, points, 2]
        sampled = F.grid_sample(
            value.flatten(0, 1), grid, padding_mode="zeros", align_corners=False
        )  # [B * heads, C / heads, Q, points]
        weights = weights.transpose(1, 2).flatten(0, 1)[:, None]
        attended = (sampled * weights).sum(-1).view(b, channels, q).transpose(1, 2)
        out: Tensor = self.output(attended.to(query.dtype))
        return out
