"""From the network's raw outputs to the best detections, of a fixed number, in frame pixels."""

from typing import NamedTuple

import torch
from torch import Tensor

_LOW_HALF = (1 << 32) - 1


class Selected(NamedTuple):
    """The K best (query, class row) pairs, best first, on the network's device:
    ``score`` float32 [K], ``row`` and ``query`` int64 [K], ``box`` float32 [K, 4] x1 y1 x2 y2 in
    frame pixels, clamped to the frame, ``kept`` bool [K], whether the score is high enough.
    """

    score: Tensor
    row: Tensor
    query: Tensor
    box: Tensor
    kept: Tensor


def select(logits: Tensor, boxes: Tensor, scale: Tensor, threshold: Tensor, count: int) -> Selected:
    """The ``count`` highest scores of one picture, as the official post-processing ranks them.

    ``logits`` [Q, rows], ``boxes`` [Q, 4] cxcywh in 0..1, ``scale`` [4] W, H, W, H,
    ``threshold`` [rows]: a pair of class row r is kept where its score > threshold[r]. One query
    may come up under several rows; equal scores rank by query, then row. No shape depends on the
    data, and no sort is needed, which costs ten times as much.
    """
    score = logits.sigmoid().flatten().abs()  # abs: what is not a number ranks first, as in a sort
    queries, rows = logits.shape
    count = min(count, queries)
    # Scores are not negative, so their bits rank as they do; the place below them settles ties.
    place = torch.arange(len(score), device=score.device)
    key = (score.view(torch.int32).long() << 32) | (len(score) - 1 - place)
    place = len(score) - 1 - (key.topk(count).values & _LOW_HALF)
    query, row = place // rows, place % rows
    best = score.index_select(0, place)
    centre, side = boxes.index_select(0, query).split(2, dim=-1)
    half = 0.5 * side.clamp(min=0)
    box = torch.cat([centre - half, centre + half], -1) * scale
    box = torch.minimum(box.clamp(min=0), scale)
    return Selected(best, row, query, box, best > threshold.index_select(0, row))
