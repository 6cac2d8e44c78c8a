"""The engine: the network on its device, with every buffer it needs, from a frame to detections."""

from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from edge.detections import Detections
from edge.frame import Image
from edge.inference.cpu_pipeline import CpuPipeline
from edge.inference.cuda_pipeline import CudaPipeline
from edge.inference.frame_pass import FramePass
from edge.inference.stage_times import StageTimes
from edge.rfdetr.model import RFDETRSeg

LARGEST_EXPECTED = (1080, 1920)  # frames up to this size need no new buffers
WARM_UP_TURNS = 3


class NotFiniteError(Exception):
    """The network's results are not numbers: it would find nothing, for ever and in silence."""

    exit_code = 78


class Pipeline(Protocol):
    """Takes up to ``depth`` frames before a result is asked for; results come in their order."""

    depth: int

    @property
    def in_flight(self) -> int: ...

    def submit(self, image: Image) -> None: ...

    def harvest(self) -> tuple[Detections, StageTimes]: ...

    def close(self) -> None: ...


class Engine:
    """Owns the device: the only place that touches it. Used by one thread, the one that built it.

    ``threshold`` float32 [rows]: a detection of class row r is kept where its score > threshold[r].
    Up to ``depth`` frames may be in flight (two on CUDA), so that the device has its next frame
    before it has finished this one.
    """

    def __init__(
        self,
        model: RFDETRSeg,
        device: torch.device,
        precision: torch.dtype,
        threshold: npt.NDArray[np.float32],
        resize: str = "plain",
        max_detections: int = 100,
    ) -> None:
        model.set_precision(precision)
        self.model = model
        self.device, self.precision = device, precision
        self.resolution = model.resolution
        self._threshold = self._in_use = threshold
        self._pass = FramePass(model, resize, torch.from_numpy(threshold), max_detections)
        self._pass.to(device)
        self._pipeline: Pipeline
        if device.type == "cuda":
            self._pipeline = CudaPipeline(self._pass, device, LARGEST_EXPECTED)
        else:
            self._pipeline = CpuPipeline(self._pass)

    @property
    def depth(self) -> int:
        """The most frames that may be in flight."""
        return self._pipeline.depth

    @property
    def in_flight(self) -> int:
        """The number of frames that were submitted and not harvested yet."""
        return self._pipeline.in_flight

    def warm_up(self) -> None:
        """Run the whole way a few times, so that the first real frame is not the slow one.

        Raises ``NotFiniteError`` where what comes out are no numbers.
        """
        image = np.random.default_rng(0).integers(0, 256, (*LARGEST_EXPECTED, 3), dtype=np.uint8)
        everything = np.full_like(self._threshold, -np.inf)
        for _ in range(WARM_UP_TURNS):
            found, _ = self.infer(image, everything)
        # What is not a number is not above any threshold either.
        if len(found) < self._pass.count or np.isnan(found.mask_logits).any():
            precision = str(self.precision).removeprefix("torch.")
            remedy = "the weights are damaged" if precision == "float32" else "try fp32 or bf16"
            raise NotFiniteError(f"in {precision} this checkpoint gives no numbers: {remedy}")
        self._use(self._threshold)

    def submit(self, image: Image) -> None:
        """Begin with ``image``, contiguous uint8 BGR [H, W, 3]; not with ``depth`` in flight."""
        self._pipeline.submit(image)

    def harvest(self) -> tuple[Detections, StageTimes]:
        """Wait for the oldest frame in flight → its detections, and where the time went."""
        return self._pipeline.harvest()

    def infer(
        self, image: Image, threshold: npt.NDArray[np.float32] | None = None
    ) -> tuple[Detections, StageTimes]:
        """One frame from end to end, with nothing else in flight; ``threshold`` instead of the
        engine's own for this frame.
        """
        assert not self.in_flight, "frames are in flight"
        self._use(self._threshold if threshold is None else threshold)
        self.submit(image)
        return self.harvest()

    def close(self) -> None:
        """Give all memory back, for the model that follows; nothing is asked of it any more."""
        assert not self.in_flight, "frames are in flight"
        pipeline = self._pipeline
        del self.model, self._pass, self._pipeline
        pipeline.close()

    def _use(self, threshold: npt.NDArray[np.float32]) -> None:
        if not np.array_equal(threshold, self._in_use):
            self._pass.threshold.copy_(torch.from_numpy(threshold))
            if self.device.type == "cuda":  # the copy is on another stream than the frames
                torch.cuda.synchronize(self.device)
            self._in_use = threshold.copy()
