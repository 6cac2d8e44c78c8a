"""The fixed-shape computation of one frame, from its upload to the way back of what was found."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from edge.inference.postprocess import Selected, select
from edge.inference.preprocess import Preprocess, frame_scale
from edge.rfdetr.model import Output, RFDETRSeg


class PassResult(NamedTuple):
    """One frame's K best pairs: ``fields`` float32 [K, FIELDS] (score, class row, 1 where kept,
    x1, y1, x2, y2), ``masks`` logits [K, m, m] in the network's precision.
    """

    fields: Tensor
    masks: Tensor


FIELDS = 7


class FramePass(nn.Module):
    """Resize, network, top-k, class filter and the chosen masks, as one function of static tensors.

    On CUDA all of it is one graph; the CPU goes through the same parts, and skips the masks that
    nobody will see.
    """

    def __init__(self, model: RFDETRSeg, resize: str, threshold: Tensor, count: int) -> None:
        super().__init__()
        self.model = model
        self.count = min(count, model.variant.queries)
        self.preprocess = Preprocess(model.resolution, resize)
        self.register_buffer("threshold", threshold.clone(), persistent=False)

    threshold: Tensor

    def select(self, output: Output, table: Tensor) -> Selected:
        """The K best pairs of the one picture in ``output``, a frame with this ``table``."""
        scale = frame_scale(table)
        return select(output.logits[0], output.boxes[0], scale, self.threshold, self.count)

    def masks(self, output: Output, query: Tensor) -> Tensor:
        """Mask logits [K, m, m] of the queries with these numbers [K]."""
        return self.model.masks(output.states.index_select(1, query), output.pixels)[0]

    def forward(self, pixels: Tensor, table: Tensor, size: tuple[int, int]) -> PassResult:
        """``pixels`` uint8 [N, 3], ``table`` int32 [6 R + 4], ``size``: see ``Preprocess``."""
        output = self.model(self.preprocess(pixels, table, size))
        selected = self.select(output, table)
        # Class rows are far below 2 ** 24: float32 holds them exactly.
        numbers = [selected.score, selected.row.float(), selected.kept.float()]
        fields = torch.cat([torch.stack(numbers, -1), selected.box], -1)
        return PassResult(fields, self.masks(output, selected.query))
