"""The staging around CUDA, with a stand-in for its streams and events: what can be shown without a
GPU. Buffers, sizes and order are real; that the kernels run there is not shown here.
"""

import contextlib

import numpy as np
import pytest
import torch

from edge.inference import engine as engine_module
from edge.inference.engine import Engine
from edge.model_source import DEMO_CHECKPOINT
from edge.rfdetr.checkpoint import build_model, load_checkpoint

CPU = torch.device("cpu")


class FakeStream:
    def __init__(self, device: torch.device) -> None:
        self.waited = 0

    def synchronize(self) -> None:
        self.waited += 1


class FakeEvent:
    """Notes its order among all events; a millisecond passes between two records."""

    clock = 0

    def __init__(self, enable_timing: bool = False, blocking: bool = False) -> None:
        assert enable_timing
        assert blocking, "waiting must sleep and not spin"
        self.recorded_at = -1
        self.waited = 0

    def record(self, stream: FakeStream) -> None:
        FakeEvent.clock += 1
        self.recorded_at = FakeEvent.clock

    def synchronize(self) -> None:
        assert self.recorded_at == FakeEvent.clock, "waited for an event that is not the last"
        self.waited += 1

    def elapsed_time(self, later: "FakeEvent") -> float:
        return float(later.recorded_at - self.recorded_at)


@pytest.fixture
def staged(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An engine that goes the CUDA way on the CPU."""
    empty = torch.empty

    def empty_without_pinning(*size, pin_memory=False, **options):
        return empty(*size, **options)

    monkeypatch.setattr(torch.cuda, "Stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch, "empty", empty_without_pinning)
    one = make_engine()
    one._cuda = engine_module._CudaBuffers(CPU)
    return one


def make_engine() -> Engine:
    checkpoint = load_checkpoint(DEMO_CHECKPOINT)
    threshold = np.full(checkpoint.rows, 0.3, np.float32)
    return Engine(build_model(checkpoint), CPU, torch.float32, threshold)


def test_same_detections_as_without_staging(staged, demo_golden):
    plain, _ = make_engine().infer(demo_golden["frame_bgr"])
    found, times = staged.infer(demo_golden["frame_bgr"])
    assert len(found) == len(plain) > 0
    for name in ("score", "class_id", "box", "mask_logits"):
        np.testing.assert_array_equal(getattr(found, name), getattr(plain, name))
    assert times == (0.001, 0.001, 0.001)


def test_one_wait_a_frame(staged, demo_golden):
    for turn in range(1, 4):
        staged.infer(demo_golden["frame_bgr"])
        assert [mark.waited for mark in staged._cuda.marks] == [0, 0, 0, turn]


def test_buffers_stay_for_frames_up_to_the_largest_expected_and_grow_beyond(staged):
    buffers = staged._cuda
    pinned = buffers._pinned
    for size in ((360, 640), (1080, 1920), (64, 48)):
        staged.infer(np.zeros((*size, 3), np.uint8))
        assert buffers._pinned is pinned
    staged.infer(np.zeros((1440, 2560, 3), np.uint8))
    assert buffers._pinned.numel() == 1440 * 2560 * 3
    assert buffers.stream.waited == 1, "freed a buffer that might still be read"


def test_a_smaller_frame_after_a_larger_one_is_read_alone(staged, demo_golden):
    frame = demo_golden["frame_bgr"]
    alone, _ = staged.infer(frame)
    staged.infer(np.full((1080, 1920, 3), 255, np.uint8))
    again, _ = staged.infer(frame)
    np.testing.assert_array_equal(again.mask_logits, alone.mask_logits)


def test_results_outlive_the_buffers_that_brought_them(staged, demo_golden):
    first, _ = staged.infer(demo_golden["frame_bgr"])
    copy = first.mask_logits.copy()
    staged.infer(np.ascontiguousarray(demo_golden["frame_bgr"][::-1]))
    np.testing.assert_array_equal(first.mask_logits, copy)
