"""From the network's raw outputs to the best detections, of a fixed number, in frame pixels."""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from edge.rfdetr.model import Output


class Selected(NamedTuple):
    """The K best (query, class row) pairs, best first, on the network's device:
    ``score`` [K], ``row`` [K] int64, ``box`` [K, 4] x1 y1 x2 y2 in frame pixels, clamped to the
    frame, ``mask_logits`` [K, m, m].
    """

    score: Tensor
    row: Tensor
    box: Tensor
    mask_logits: Tensor


@lru_cache(maxsize=16)
def frame_scale(height: int, width: int, device: torch.device) -> Tensor:
    """(W, H, W, H) float32 [4] on ``device``: boxes in 0..1 times this are in frame pixels."""
    return torch.tensor([width, height, width, height], dtype=torch.float32, device=device)


def select(output: Output, scale: Tensor, count: int) -> Selected:
    """The ``count`` highest scores of one picture, as the official post-processing ranks them.

    One query may come up under several class rows; equal scores rank by query, then row.
    ``scale`` [4] comes from ``frame_scale``. No shape depends on the data.
    """
    score = output.logits[0].sigmoid()  # [Q, rows]
    queries, rows = score.shape
    count = min(count, queries)
    ranked, index = torch.sort(score.flatten(), descending=True, stable=True)
    index = index[:count]
    query = index // rows
    centre, size = output.boxes[0].index_select(0, query).split(2, dim=-1)
    half = 0.5 * size.clamp(min=0)
    box = torch.cat([centre - half, centre + half], -1) * scale
    box = torch.minimum(box.clamp(min=0), scale)
    return Selected(ranked[:count], index % rows, box, output.masks[0].index_select(0, query))
