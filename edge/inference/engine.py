"""The engine: the network on its device, with every buffer it needs, from a frame to detections."""

import time

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from edge.detections import Detections
from edge.frame import Image
from edge.inference.postprocess import Selected, frame_scale, select
from edge.inference.preprocess import Preprocess
from edge.inference.stage_times import StageTimes
from edge.rfdetr.model import RFDETRSeg

LARGEST_EXPECTED = (1080, 1920)  # frames up to this size need no new buffers
WARM_UP_TURNS = 3


class Engine:
    """Owns the device: the only place that touches CUDA. Used by one thread, the one that built it.

    ``threshold`` float32 [rows]: a detection of class row r is kept where its score > threshold[r].
    On CUDA everything runs on a stream of its own; one frame goes up from a pinned buffer, one
    fixed-size result comes back into another, and one event is waited for.
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
        self.model = model.to(device)
        self.device, self.precision = device, precision
        self.resolution = model.resolution
        self.max_detections = max_detections
        self._threshold = threshold
        self._preprocess = Preprocess(model.resolution, resize, device)
        self._input = torch.zeros(1, 3, model.resolution, model.resolution, device=device)
        self._cuda: _CudaBuffers | None = None
        if device.type == "cuda":
            self._cuda = _CudaBuffers(device)
            # All that was built so far was on the default stream, which ours does not wait for.
            torch.cuda.synchronize(device)

    def warm_up(self) -> None:
        """Run the whole way a few times, so that the first real frame is not the slow one."""
        image = np.zeros((*LARGEST_EXPECTED, 3), np.uint8)
        for _ in range(WARM_UP_TURNS):
            self.infer(image)

    @torch.inference_mode()
    def infer(
        self, image: Image, threshold: npt.NDArray[np.float32] | None = None
    ) -> tuple[Detections, StageTimes]:
        """``image`` uint8 BGR [H, W, 3] → its detections, and where the time went."""
        size = image.shape[0], image.shape[1]
        if self._cuda is not None:
            selected, times = self._on_cuda(image, self._cuda)
        else:
            selected, times = self._on_cpu(image)
        score, row, box, mask_logits = (tensor.numpy() for tensor in selected)
        keep = score > (self._threshold if threshold is None else threshold)[row]
        # Indexing copies, so that nothing handed over lives in a buffer of ours.
        kept = Detections(score[keep], row[keep], box[keep], mask_logits[keep], size)
        return kept, times

    def _on_cpu(self, image: Image) -> tuple[Selected, StageTimes]:
        start = time.perf_counter()
        self._preprocess(torch.from_numpy(image), out=self._input)
        preprocessed = time.perf_counter()
        output = self.model(self._input)
        forwarded = time.perf_counter()
        selected = select(output, frame_scale(*image.shape[:2], self.device), self.max_detections)
        end = time.perf_counter()
        return selected, StageTimes(preprocessed - start, forwarded - preprocessed, end - forwarded)

    def _on_cuda(self, image: Image, cuda: "_CudaBuffers") -> tuple[Selected, StageTimes]:
        with torch.cuda.stream(cuda.stream):
            cuda.marks[0].record(cuda.stream)
            frame = cuda.upload(image)
            self._preprocess(frame, out=self._input)
            cuda.marks[1].record(cuda.stream)
            output = self.model(self._input)
            cuda.marks[2].record(cuda.stream)
            selected = select(
                output, frame_scale(*image.shape[:2], self.device), self.max_detections
            )
            fetched = cuda.fetch(selected)
            cuda.marks[3].record(cuda.stream)
        cuda.marks[3].synchronize()  # the one wait of a frame; it sleeps and releases the GIL
        seconds = [
            a.elapsed_time(b) / 1000 for a, b in zip(cuda.marks, cuda.marks[1:], strict=False)
        ]
        return fetched, StageTimes(*seconds)


class _CudaBuffers:
    """Stream, events and staging memory of one engine. Buffers only ever grow."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device)
        self.marks = [torch.cuda.Event(enable_timing=True, blocking=True) for _ in range(4)]
        height, width = LARGEST_EXPECTED
        self._allocate(height * width * 3)
        self._results: Selected | None = None

    def _allocate(self, size: int) -> None:
        self._pinned = torch.empty(size, dtype=torch.uint8, pin_memory=True)
        self._on_device = torch.empty(size, dtype=torch.uint8, device=self.device)

    def upload(self, image: Image) -> Tensor:
        """Start the copy of ``image`` to the device → uint8 [H, W, 3] there."""
        if image.size > self._pinned.numel():
            self.stream.synchronize()  # nothing may still read the buffers that go
            self._allocate(image.size)
        pinned = self._pinned[: image.size]
        np.copyto(pinned.numpy().reshape(image.shape), image)
        frame = self._on_device[: image.size]
        frame.copy_(pinned, non_blocking=True)
        return frame.view(image.shape)

    def fetch(self, selected: Selected) -> Selected:
        """Start the copies of the results to pinned memory; valid after the stream's last mark."""
        if self._results is None:
            self._results = Selected(
                *(torch.empty(t.shape, dtype=t.dtype, pin_memory=True) for t in selected)
            )
        for target, tensor in zip(self._results, selected, strict=True):
            target.copy_(tensor, non_blocking=True)
        return self._results
