"""Query selection and decoder: two-stage deformable DETR with box reparametrisation (LW-DETR)."""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge.rfdetr.deformable_attention import DeformableAttention
from edge.rfdetr.variants import Variant

TEMPERATURE = 10000.0
PROPOSAL_SIZE = 0.05
BORDER = 0.01  # proposals nearer to the border than this are not used


class MLP(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        out: Tensor = self.layers[-1](x)
        return out


def move_box(box: Tensor, delta: Tensor) -> Tensor:
    """``box`` [..., 4] cxcywh, moved and scaled by ``delta`` in units of its own size."""
    centre = delta[..., :2] * box[..., 2:] + box[..., :2]
    return torch.cat([centre, delta[..., 2:].exp() * box[..., 2:]], -1)


class QuerySelection(nn.Module):
    """Scores every cell of the memory and turns the best ones into reference boxes. Float32 only:
    rounding would swap cells, and with them the learned query that each is paired with.
    """

    def __init__(self, variant: Variant, grid: int, rows: int) -> None:
        super().__init__()
        hidden = variant.hidden
        self.queries = variant.queries
        self.project = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.score = nn.Linear(hidden, rows)
        self.box = MLP(hidden, hidden, hidden, 4)
        self.refpoint = nn.Parameter(torch.empty(variant.queries, 4))
        # On the CPU also while the weights are only being shaped (device "meta").
        centre = (torch.arange(grid, device="cpu") + 0.5) / grid
        y, x = torch.meshgrid(centre, centre, indexing="ij")
        size = torch.full_like(x, PROPOSAL_SIZE)
        proposals = torch.stack([x, y, size, size], -1).view(grid * grid, 4)
        valid = ((proposals > BORDER) & (proposals < 1 - BORDER)).all(-1, keepdim=True)
        self.register_buffer("proposals", proposals * valid, persistent=False)
        self.register_buffer("valid", valid.float(), persistent=False)

    proposals: Tensor  # [g * g, 4]
    valid: Tensor  # [g * g, 1]

    def forward(self, memory: Tensor) -> Tensor:
        """``memory`` [B, g * g, C] → reference boxes [B, Q, 4], the best-scored cell first."""
        encoded = self.norm(self.project(memory.float() * self.valid))
        best = (
            self.score(encoded).amax(-1).topk(self.queries, dim=1).indices[..., None]
        )  # [B, Q, 1]
        chosen = encoded.gather(1, best.expand(-1, -1, encoded.shape[-1]))
        proposals = self.proposals.expand(len(memory), -1, -1).gather(1, best.expand(-1, -1, 4))
        return move_box(move_box(proposals, self.box(chosen)), self.refpoint)


class DecoderLayer(nn.Module):
    """Self-attention, deformable attention, feed-forward; post-norm."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        hidden = variant.hidden
        self.heads = variant.self_attention_heads
        self.query_key = nn.Linear(hidden, 2 * hidden)
        self.value = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, hidden)
        self.norm1 = nn.LayerNorm(hidden)
        self.cross_attention = DeformableAttention(hidden, variant.deformable_heads, variant.points)
        self.norm2 = nn.LayerNorm(hidden)
        self.linear1 = nn.Linear(hidden, variant.feed_forward)
        self.linear2 = nn.Linear(variant.feed_forward, hidden)
        self.norm3 = nn.LayerNorm(hidden)

    def forward(self, x: Tensor, position: Tensor, reference: Tensor, value: Tensor) -> Tensor:
        b, q, hidden = x.shape
        query_key = self.query_key(x + position).view(b, q, 2, self.heads, -1)
        query, key = query_key.permute(2, 0, 3, 1, 4)  # each [B, heads, Q, C / heads]
        content = self.value(x).view(b, q, self.heads, -1).transpose(1, 2)
        attended = F.scaled_dot_product_attention(query, key, content).transpose(1, 2)
        x = self.norm1(x + self.output(attended.reshape(b, q, hidden)))
        x = self.norm2(x + self.cross_attention(x + position, reference, value))
        out: Tensor = self.norm3(x + self.linear2(F.relu(self.linear1(x))))
        return out


class Decoder(nn.Module):
    def __init__(self, variant: Variant) -> None:
        super().__init__()
        hidden = variant.hidden
        self.heads = variant.deformable_heads
        self.query = nn.Parameter(torch.empty(variant.queries, hidden))
        self.reference_position = MLP(2 * hidden, hidden, hidden)
        self.values = nn.Linear(hidden, variant.decoder_layers * hidden)  # of all layers at once
        self.layers = nn.ModuleList(DecoderLayer(variant) for _ in range(variant.decoder_layers))
        self.norm = nn.LayerNorm(hidden)
        channels = hidden // 2  # of the sine embedding, per coordinate of a reference box
        exponent = 2 * (torch.arange(channels, device="cpu") // 2) / channels
        self.register_buffer("wavelength", TEMPERATURE**exponent, persistent=False)

    wavelength: Tensor  # [hidden / 2]

    def sine_embedding(self, reference: Tensor) -> Tensor:
        """``reference`` [B, Q, 4] cxcywh → [B, Q, 2 C]: y, x, w, h, sine and cosine interleaved."""
        # Slices: an index list would be copied to the device, and waited for, in every pass.
        yxwh = torch.cat([reference[..., 1:2], reference[..., :1], reference[..., 2:]], -1)
        angle = yxwh[..., None] * (2 * math.pi) / self.wavelength  # [B, Q, 4, C / 2]
        pairs = torch.stack([angle[..., 0::2].sin(), angle[..., 1::2].cos()], -1)
        return pairs.flatten(2)

    def forward(self, memory: Tensor, reference: Tensor) -> Tensor:
        """``memory`` [B, g, g, C], ``reference`` [B, Q, 4] float32 → query states [B, Q, C]."""
        b, g, _, hidden = memory.shape
        dtype = memory.dtype
        position = self.reference_position(self.sine_embedding(reference).to(dtype))
        values = self.values(memory).float().view(b, g, g, len(self.layers), self.heads, -1)
        values = values.permute(3, 0, 4, 5, 1, 2)  # [layers, B, heads, C / heads, g, g]
        x = self.query.expand(b, -1, hidden)
        for layer, value in zip(self.layers, values, strict=True):
            x = layer(x, position, reference, value)
        out: Tensor = self.norm(x)
        return out
