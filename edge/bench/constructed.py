"""An engine whose network always gives the same outputs, to measure all but the network."""

import torch
from torch import Tensor, nn

from edge.bench.objects import Outputs
from edge.bench.subject import Subject
from edge.inference.engine import Engine
from edge.inference.thresholds import named_thresholds
from edge.rfdetr.model import Output, RFDETRSeg


class _Constructed(RFDETRSeg):
    """In the network's place: given outputs, whatever the picture.

    State i is the i-th unit vector and the pixels are the masks, so that the masks of the queries
    asked for are a matrix product, as they are in the network, and about as large.
    """

    def __init__(self, of: RFDETRSeg, outputs: Outputs) -> None:
        nn.Module.__init__(self)  # without the layers
        self.variant, self.resolution, self.rows = of.variant, of.resolution, of.rows
        self.segmentation = of.segmentation  # for the size of its masks
        queries = outputs.boxes.shape[1]
        self.register_buffer("logits", torch.from_numpy(outputs.logits))
        self.register_buffer("boxes", torch.from_numpy(outputs.boxes))
        self.register_buffer("states", torch.eye(queries)[None])
        self.register_buffer("pixels", torch.from_numpy(outputs.masks).flatten(2))

    logits: Tensor
    boxes: Tensor
    states: Tensor
    pixels: Tensor

    @property
    def dtype(self) -> torch.dtype:
        return self.states.dtype

    def set_precision(self, dtype: torch.dtype) -> None:
        self.states = self.states.to(dtype)
        self.pixels = self.pixels.to(dtype)

    def forward(self, x: Tensor) -> Output:
        return Output(self.logits, self.boxes, self.states, self.pixels)

    def masks(self, states: Tensor, pixels: Tensor) -> Tensor:
        side = self.segmentation.side
        return (states @ pixels).view(*states.shape[:2], side, side)


def with_outputs(subject: Subject, outputs: Outputs) -> Engine:
    """A warm engine like the subject's, but for the network."""
    names, engine, settings = subject.checkpoint.names, subject.engine, subject.config.model
    constructed = Engine(
        _Constructed(engine.model, outputs),
        engine.device,
        engine.precision,
        named_thresholds(names, settings.confidence),
        settings.resize,
        settings.max_detections,
    )
    constructed.warm_up()
    return constructed
