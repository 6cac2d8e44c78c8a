"""Frames through a GPU: two slots of static buffers, a captured graph each, one wait a frame.

A frame goes up once, on a stream of its own, while the one before it is still being computed. All
computing is one CUDA graph on a second stream; its result, of fixed size, comes down on a third.
Only ``harvest`` waits, for one event, asleep and without the GIL. The rules behind it: docs/gpu.md.
"""

import gc
import logging
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from edge.cuda_calls import side_calls
from edge.detections import Detections
from edge.frame import Image
from edge.inference.device import is_out_of_memory
from edge.inference.frame_pass import FIELDS, FramePass
from edge.inference.preprocess import frame_table
from edge.inference.stage_times import StageTimes

Size = tuple[int, int]  # height, width

EAGER_TURNS = 3  # before a capture: libraries set themselves up, cuDNN chooses its kernels
# An antialiased resize has its frame's size in its shapes: one graph for each, up to these many.
MOST_GRAPHS = 4

# A process can capture one graph at a time, and meanwhile no other thread may call CUDA: the loop
# of one model makes way while the next one's graph is captured, and no longer.
_calls = threading.RLock()

log = logging.getLogger(__name__)


class _Slot:
    """The static buffers and events of one frame in flight, and the graphs over those buffers.

    A slot is free, or in flight between `submit` and `harvest`: only then do its buffers belong to
    the device.
    """

    def __init__(self, frame_pass: FramePass, device: torch.device, pixels: int) -> None:
        words, side = 6 * frame_pass.model.resolution + 4, frame_pass.model.segmentation.side
        count, dtype = frame_pass.count, frame_pass.model.dtype
        self.allocate_pixels(pixels, device)
        self.host_table = torch.zeros(words, dtype=torch.int32, pin_memory=True)
        self.table = torch.zeros(words, dtype=torch.int32, device=device)
        self.fields = torch.zeros(count, FIELDS, device=device)
        self.masks = torch.zeros(count, side, side, dtype=dtype, device=device)
        self.host_fields = torch.zeros(count, FIELDS, pin_memory=True)
        self.host_masks = torch.zeros(count, side, side, dtype=dtype, pin_memory=True)
        self.begun, self.uploaded, self.started, self.computed, self.done = (
            torch.cuda.Event(enable_timing=True, blocking=True) for _ in range(5)
        )
        self.graphs: dict[Size | None, torch.cuda.CUDAGraph] = {}
        self.size: Size = (0, 0)

    def allocate_pixels(self, pixels: int, device: torch.device) -> None:
        self.host_pixels = torch.zeros(pixels, 3, dtype=torch.uint8, pin_memory=True)
        self.pixels = torch.zeros(pixels, 3, dtype=torch.uint8, device=device)


class CudaPipeline:
    """Two frames deep. Used by one thread.

    No other in the process uses CUDA, but for the one that warms up the model to come and, under
    ``side_calls``, capture threads that decode JPEG.
    """

    depth = 2

    def __init__(self, frame_pass: FramePass, device: torch.device, largest: Size) -> None:
        # Pinned memory and captures go by the thread's current device.
        torch.cuda.set_device(device)
        # NVIDIA's containers ask for TF32, in which the query selection would swap its slots.
        torch.set_float32_matmul_precision("highest")
        self._pass, self._device = frame_pass, device
        # Convolutions as cuDNN wants them; else every replay would bring their weights in order.
        for weight in frame_pass.parameters():
            if weight.dim() == 4:
                weight.data = weight.data.to(memory_format=torch.channels_last)
        self._uploads = torch.cuda.Stream(device)
        self._compute = torch.cuda.Stream(device)
        self._downloads = torch.cuda.Stream(device)
        self._largest, self._capacity = largest, largest[0] * largest[1]
        self._slots = [_Slot(frame_pass, device, self._capacity) for _ in range(self.depth)]
        self._free = deque(self._slots)
        self._in_flight: deque[_Slot] = deque()
        self._pool: Any = None  # torch's handle of the memory that all graphs share
        self.replays = True  # False once a capture has failed: then frames run eagerly
        # All that was built so far was on the default stream, which ours do not wait for.
        torch.cuda.synchronize(device)

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    # -- one frame --------------------------------------------------------------------------------

    def submit(self, image: Image) -> None:
        """Copy ``image`` to pinned memory and queue its work; returns without waiting for it."""
        size = image.shape[0], image.shape[1]
        key = size if self._pass.preprocess.resize == "antialias" else None
        with torch.inference_mode():
            if size[0] * size[1] > self._capacity:
                self._grow(size)
            if self.replays and key not in self._slots[0].graphs:
                self._capture(key)
            with _calls:
                self._queue(image, size, key)

    def harvest(self) -> tuple[Detections, StageTimes]:
        """Wait for the oldest frame; what is returned lives in no buffer of ours."""
        with _calls:
            return self._harvest()

    def close(self) -> None:
        """Give the device's memory back, for the model that follows."""
        self._drop_graphs()
        del self._pass, self._slots, self._free
        gc.collect()
        with _calls:
            torch.cuda.empty_cache()

    def _queue(self, image: Image, size: Size, key: Size | None) -> None:
        slot = self._free.popleft()
        count = size[0] * size[1]
        np.copyto(slot.host_pixels[:count].numpy(), image.reshape(-1, 3))
        slot.host_table.copy_(frame_table(*size, self._pass.model.resolution))
        slot.size = size
        with torch.cuda.stream(self._uploads):
            slot.begun.record(self._uploads)
            slot.pixels[:count].copy_(slot.host_pixels[:count], non_blocking=True)
            slot.table.copy_(slot.host_table, non_blocking=True)
            slot.uploaded.record(self._uploads)
        self._compute.wait_event(slot.uploaded)
        with torch.cuda.stream(self._compute):
            slot.started.record(self._compute)
            graph = slot.graphs.get(key)
            if graph is not None:
                graph.replay()
            else:
                self._compute_frame(slot, size)
            slot.computed.record(self._compute)
        # A stream of its own: neither the next frame's upload nor its computing waits for this.
        self._downloads.wait_event(slot.computed)
        with torch.cuda.stream(self._downloads):
            slot.host_fields.copy_(slot.fields, non_blocking=True)
            slot.host_masks.copy_(slot.masks, non_blocking=True)
            slot.done.record(self._downloads)
        self._in_flight.append(slot)

    def _harvest(self) -> tuple[Detections, StageTimes]:
        slot = self._in_flight.popleft()
        slot.done.synchronize()  # the one wait of a frame
        fields = slot.host_fields.numpy()
        kept = fields[:, 2] != 0
        detections = Detections(
            fields[kept, 0],
            fields[kept, 1].astype(np.int64),
            fields[kept, 3:7],
            slot.host_masks[torch.from_numpy(kept)].float().numpy(),
            slot.size,
        )
        times = StageTimes(
            slot.begun.elapsed_time(slot.uploaded) / 1000,
            slot.started.elapsed_time(slot.computed) / 1000,
            slot.computed.elapsed_time(slot.done) / 1000,
        )
        self._free.append(slot)
        return detections, times

    def _compute_frame(self, slot: _Slot, size: Size) -> None:
        """The whole pass over a slot's buffers: run eagerly, or captured. It waits for nothing."""
        with fast_kernels():
            result = self._pass(slot.pixels, slot.table, size)
        slot.fields.copy_(result.fields)
        slot.masks.copy_(result.masks)

    # -- graphs and buffers: with the first frame, and with one of a size unseen -----------------

    def _grow(self, size: Size) -> None:
        """Larger buffers for the pixels of a frame."""
        torch.cuda.synchronize(self._device)  # nothing may still read the buffers that go
        self._largest, self._capacity = size, size[0] * size[1]
        self._drop_graphs()
        for slot in self._slots:
            slot.allocate_pixels(self._capacity, self._device)

    def _drop_graphs(self) -> None:
        """All at once: they share memory that one alone would take along; and then it is gone."""
        for slot in self._slots:
            slot.graphs.clear()
        self._pool = None

    def _capture(self, key: Size | None) -> None:
        """Capture every slot's graph for frames of one size; None: of any size.

        Where that fails, frames run eagerly from now on, and it is said. Frames may be in flight:
        what they found is in pinned memory before anything is overwritten here.
        """
        if len(self._slots[0].graphs) >= MOST_GRAPHS:
            return
        try:
            for slot in self._slots:
                slot.graphs[key] = self._captured_and_checked(slot, key or self._largest)
        except RuntimeError as error:
            # Where a capture was broken off, its end complains too; the reason is the one before.
            cause = error.__context__ or error
            if is_out_of_memory(error) or is_out_of_memory(cause):
                raise
            self.replays = False
            self._drop_graphs()
            reason = str(cause).partition("\n")[0]
            log.error("no CUDA graph: frames run eagerly, which is slower (%s)", reason)

    def _captured_and_checked(self, slot: _Slot, size: Size) -> torch.cuda.CUDAGraph:
        torch.cuda.synchronize(self._device)
        slot.pixels.random_(256)
        slot.table.copy_(frame_table(*size, self._pass.model.resolution))
        torch.cuda.synchronize(self._device)
        # Libraries set themselves up for this thread and stream, and cuDNN chooses its kernels.
        with torch.cuda.stream(self._compute):
            for _ in range(EAGER_TURNS):
                self._compute_frame(slot, size)
        torch.cuda.synchronize(self._device)
        eager = slot.fields.clone(), slot.masks.clone()
        graph = self._captured(slot, size)
        with torch.cuda.stream(self._compute):
            slot.fields.zero_()
            slot.masks.zero_()
            graph.replay()
        torch.cuda.synchronize(self._device)
        for replayed, expected in zip((slot.fields, slot.masks), eager, strict=True):
            if not torch.allclose(replayed, expected, rtol=0, atol=0, equal_nan=True):
                raise RuntimeError("what it computes differs from the eager pass")
        return graph

    def _captured(self, slot: _Slot, size: Size) -> torch.cuda.CUDAGraph:
        gc.collect()  # a pinned tensor or a graph that dies during the capture would break it
        graph = torch.cuda.CUDAGraph()
        # thread_local: what other threads do with CUDA meanwhile must not break it either. The
        # outer stream context puts the current stream back also where the capture fails.
        with (
            _calls,
            side_calls,
            torch.cuda.stream(self._compute),
            torch.cuda.graph(
                graph, pool=self._pool, stream=self._compute, capture_error_mode="thread_local"
            ),
        ):
            self._compute_frame(slot, size)
        self._pool = graph.pool()
        return graph


@contextmanager
def fast_kernels() -> Iterator[None]:
    """cuDNN tries out its kernels once, of those that repeat themselves bit for bit; attention by
    those that fuse it; float32 stays float32.
    """
    with (
        torch.backends.cudnn.flags(
            enabled=True, benchmark=True, deterministic=True, allow_tf32=False
        ),
        sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]),
    ):
        yield
