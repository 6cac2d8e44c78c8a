"""RF-DETR-Seg for inference: one fixed-shape pass from a normalised picture to raw outputs."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from edge.rfdetr.backbone import Backbone
from edge.rfdetr.decoder import MLP, Decoder, QuerySelection, move_box
from edge.rfdetr.projector import Projector
from edge.rfdetr.segmentation_head import SegmentationHead
from edge.rfdetr.variants import Variant


class Output(NamedTuple):
    """Float32 ``logits`` [B, Q, rows] and ``boxes`` [B, Q, 4] cxcywh in 0..1, not clamped. In the
    network's precision ``states`` [B, Q, C] and ``pixels`` [B, C, m * m], m = resolution / 4:
    ``RFDETRSeg.masks`` makes masks of them, only of those queries that are wanted.
    """

    logits: Tensor
    boxes: Tensor
    states: Tensor
    pixels: Tensor


class RFDETRSeg(nn.Module):
    """The network of one variant at one input resolution, for checkpoints with ``rows`` class rows.

    Weights come from ``edge.rfdetr.convert``; nothing here initialises them.
    """

    def __init__(self, variant: Variant, resolution: int, rows: int) -> None:
        super().__init__()
        self.variant, self.resolution, self.rows = variant, resolution, rows
        grid = resolution // variant.patch
        self.backbone = Backbone(variant, resolution)
        self.projector = Projector(variant)
        self.selection = QuerySelection(variant, grid, rows)
        self.decoder = Decoder(variant)
        self.segmentation = SegmentationHead(variant, resolution)
        self.class_head = nn.Linear(variant.hidden, rows)
        self.box_head = MLP(variant.hidden, variant.hidden, variant.hidden, 4)

    def set_precision(self, dtype: torch.dtype) -> None:
        """Convert the heavy parts. Selection, classes and boxes stay float32 in every precision."""
        wavelength = self.decoder.wavelength  # not even rounded for a moment
        for part in (self.backbone, self.projector, self.decoder, self.segmentation):
            part.to(dtype)
        self.decoder.wavelength = wavelength

    @property
    def dtype(self) -> torch.dtype:
        return self.backbone.cls.dtype

    def forward(self, x: Tensor) -> Output:
        """``x`` [B, 3, R, R] float32, RGB normalised with ImageNet's mean and deviation."""
        memory = self.projector(self.backbone(x.to(self.dtype)))  # [B, g, g, C]
        reference = self.selection(memory.flatten(1, 2))  # [B, Q, 4]
        states = self.decoder(memory, reference)  # [B, Q, C]
        exact = states.float()
        boxes = move_box(reference, self.box_head(exact))
        return Output(self.class_head(exact), boxes, states, self.segmentation.pixels(memory))

    def masks(self, states: Tensor, pixels: Tensor) -> Tensor:
        """Mask logits [B, K, m, m] of the queries with ``states`` [B, K, C], in their precision."""
        masks: Tensor = self.segmentation.masks(states, pixels)
        return masks
