"""The pipeline of the GPU with a stand-in for its streams, events and graphs.

Buffers, sizes, order and ownership are real, and so are the results, computed on the CPU. That the
kernels run on a GPU is shown by test_on_cuda.py, where there is one.
"""

import contextlib
from typing import Any

import numpy as np
import pytest
import torch

from edge.inference import cuda_pipeline
from edge.inference.cuda_pipeline import CudaPipeline
from edge.inference.frame_pass import FramePass
from edge.model_source import DEMO_CHECKPOINT
from edge.rfdetr.checkpoint import build_model, load_checkpoint

CPU = torch.device("cpu")
SMALL = (360, 640)


class FakeStream:
    def __init__(self, device: torch.device) -> None:
        self.waits_for: list[FakeEvent] = []

    def wait_event(self, event: "FakeEvent") -> None:
        assert event.recorded_at > 0, "waits for an event that was never recorded"
        self.waits_for.append(event)


class FakeEvent:
    """Notes its order among all events; a millisecond passes between two records."""

    clock = 0

    def __init__(self, enable_timing: bool = False, blocking: bool = False) -> None:
        assert enable_timing
        assert blocking, "waiting must sleep and not spin"
        self.recorded_at = 0
        self.stream: FakeStream | None = None
        self.waited = 0

    def record(self, stream: FakeStream) -> None:
        FakeEvent.clock += 1
        self.recorded_at, self.stream = FakeEvent.clock, stream

    def synchronize(self) -> None:
        assert self.recorded_at > 0
        self.waited += 1

    def elapsed_time(self, later: "FakeEvent") -> float:
        return float(later.recorded_at - self.recorded_at)


class FakeGraph:
    """Replays by running the same function over the same buffers."""

    def __init__(self, pipeline: CudaPipeline, slot: Any, size: tuple[int, int]) -> None:
        self._run = lambda: pipeline._compute_frame(slot, size)
        self.replays = 0
        self.addresses = [t.data_ptr() for t in (slot.pixels, slot.table, slot.fields, slot.masks)]
        self._slot = slot

    def replay(self) -> None:
        now = (self._slot.pixels, self._slot.table, self._slot.fields, self._slot.masks)
        assert [t.data_ptr() for t in now] == self.addresses, "a captured buffer has moved"
        self.replays += 1
        self._run()


class Bench:
    def __init__(self, resize: str = "plain", largest: tuple[int, int] = SMALL) -> None:
        checkpoint = load_checkpoint(DEMO_CHECKPOINT)
        self.threshold = np.full(checkpoint.rows, 0.3, np.float32)
        model = build_model(checkpoint)
        self.frame_pass = FramePass(model, resize, torch.from_numpy(self.threshold), 100)
        self.pipeline = CudaPipeline(self.frame_pass, CPU, largest)

    def infer(self, image: np.ndarray) -> Any:
        self.pipeline.submit(image)
        return self.pipeline.harvest()[0]


@pytest.fixture(autouse=True)
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> list[FakeGraph]:
    """Stands in for CUDA; returns the graphs captured so far."""
    zeros = torch.zeros
    graphs: list[FakeGraph] = []

    def zeros_without_pinning(*size, pin_memory=False, **options):
        return zeros(*size, **options)

    def captured(pipeline, slot, size):
        graphs.append(FakeGraph(pipeline, slot, size))
        return graphs[-1]

    monkeypatch.setattr(torch.cuda, "Stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(torch, "zeros", zeros_without_pinning)
    monkeypatch.setattr(CudaPipeline, "_captured", captured)
    monkeypatch.setattr(cuda_pipeline, "EAGER_TURNS", 1)
    return graphs


def same(found, expected) -> None:
    for name in ("score", "class_id", "box", "mask_logits"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), atol=1e-4, err_msg=name
        )
    assert found.frame_size == expected.frame_size


@pytest.mark.parametrize("resize", ["plain", "antialias"])
def test_same_detections_as_on_the_cpu(demo_golden, resize, fake_cuda):
    from edge.inference.cpu_pipeline import CpuPipeline

    bench = Bench(resize)
    on_cpu = CpuPipeline(bench.frame_pass)
    on_cpu.submit(demo_golden["frame_bgr"])
    expected, _ = on_cpu.harvest()
    found = bench.infer(demo_golden["frame_bgr"])
    assert len(found) > 0
    same(found, expected)
    assert found.class_id.dtype == np.int64
    assert [graph.replays for graph in fake_cuda] == [2, 1], "one is the check of each"


def test_every_slot_has_a_graph_of_its_own_before_the_first_frame(demo_golden, fake_cuda):
    bench = Bench()
    bench.pipeline.submit(demo_golden["frame_bgr"])
    assert len({tuple(graph.addresses) for graph in fake_cuda}) == 2


def test_two_frames_in_flight_do_not_touch_each_other(demo_golden):
    bench = Bench()
    first, second = demo_golden["frame_bgr"], np.ascontiguousarray(demo_golden["frame_bgr"][::-1])
    alone = bench.infer(first), bench.infer(second)
    bench.pipeline.submit(first)
    bench.pipeline.submit(second)
    assert bench.pipeline.in_flight == 2
    same(bench.pipeline.harvest()[0], alone[0])
    bench.pipeline.submit(first)
    same(bench.pipeline.harvest()[0], alone[1])
    same(bench.pipeline.harvest()[0], alone[0])


def test_slots_take_turns_and_are_never_used_while_in_flight(demo_golden, fake_cuda):
    bench = Bench()
    used: list[Any] = []
    for turn in range(6):
        bench.pipeline.submit(demo_golden["frame_bgr"])
        busy = list(bench.pipeline._in_flight)
        assert len({id(slot) for slot in busy}) == len(busy)
        used.append(busy[-1])
        if turn:
            bench.pipeline.harvest()
    assert used[0] is used[2] is used[4]
    assert used[1] is used[3] is used[5]


def test_a_third_frame_in_flight_is_a_mistake_of_the_callers(demo_golden):
    bench = Bench()
    bench.pipeline.submit(demo_golden["frame_bgr"])
    bench.pipeline.submit(demo_golden["frame_bgr"])
    with pytest.raises(IndexError):
        bench.pipeline.submit(demo_golden["frame_bgr"])


def test_one_wait_a_frame_and_the_copies_are_on_streams_of_their_own(demo_golden):
    bench = Bench()
    bench.infer(demo_golden["frame_bgr"])
    slot = bench.pipeline._slots[0]
    assert [slot.begun.waited, slot.uploaded.waited, slot.started.waited, slot.computed.waited] == [
        0
    ] * 4
    assert slot.done.waited == 1
    pipeline = bench.pipeline
    assert slot.uploaded.stream is pipeline._uploads
    assert slot.computed.stream is pipeline._compute
    assert slot.done.stream is pipeline._downloads
    assert pipeline._uploads.waits_for == []
    assert pipeline._compute.waits_for == [slot.uploaded]
    assert pipeline._downloads.waits_for == [slot.computed]


def test_stage_times_are_those_of_upload_graph_and_download(demo_golden):
    bench = Bench()
    bench.pipeline.submit(demo_golden["frame_bgr"])
    assert bench.pipeline.harvest()[1] == (0.001, 0.001, 0.001)


def test_frames_of_any_size_use_the_same_graph(fake_cuda):
    bench = Bench(largest=(1080, 1920))
    for size in ((360, 640), (1080, 1920), (64, 48), (1920, 1080)):
        bench.infer(np.zeros((*size, 3), np.uint8))
    assert len(fake_cuda) == 2


def test_a_smaller_frame_after_a_larger_one_is_read_alone(demo_golden):
    bench = Bench(largest=(1080, 1920))
    alone = bench.infer(demo_golden["frame_bgr"])
    for _ in range(2):
        bench.infer(np.full((1080, 1920, 3), 255, np.uint8))
    same(bench.infer(demo_golden["frame_bgr"]), alone)


def test_buffers_grow_for_a_frame_larger_than_expected_also_with_one_in_flight(
    demo_golden, fake_cuda
):
    bench = Bench()
    alone = bench.infer(demo_golden["frame_bgr"])
    large = np.zeros((720, 1280, 3), np.uint8)
    bench.pipeline.submit(demo_golden["frame_bgr"])
    bench.pipeline.submit(large)
    same(bench.pipeline.harvest()[0], alone)
    assert bench.pipeline.harvest()[0].frame_size == (720, 1280)
    assert len(fake_cuda) == 4, "both slots are captured anew"
    assert [len(slot.pixels) for slot in bench.pipeline._slots] == [720 * 1280] * 2
    same(bench.infer(demo_golden["frame_bgr"]), alone)


def test_an_antialiased_resize_has_a_graph_for_each_of_the_first_sizes(fake_cuda, monkeypatch):
    monkeypatch.setattr(cuda_pipeline, "MOST_GRAPHS", 2)
    bench = Bench("antialias")
    for number in range(cuda_pipeline.MOST_GRAPHS + 2):
        image = np.zeros((100 + number, 200, 3), np.uint8)
        for _ in range(2):
            assert bench.infer(image).frame_size == (100 + number, 200)
    assert len(fake_cuda) == 2 * cuda_pipeline.MOST_GRAPHS


def test_without_a_graph_frames_run_eagerly_and_it_is_said_once(
    demo_golden, monkeypatch, caplog, fake_cuda
):
    expected = Bench().infer(demo_golden["frame_bgr"])
    fake_cuda.clear()

    def fails(pipeline, slot, size):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(CudaPipeline, "_captured", fails)
    bench = Bench()
    for _ in range(3):
        same(bench.infer(demo_golden["frame_bgr"]), expected)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "not permitted" in caplog.text


def test_a_graph_that_computes_something_else_is_not_used(demo_golden, monkeypatch, caplog):
    expected = Bench().infer(demo_golden["frame_bgr"])

    class Wrong(FakeGraph):
        def replay(self) -> None:
            super().replay()
            self._slot.masks.add_(1)

    def captured(pipeline, slot, size):
        return Wrong(pipeline, slot, size)

    monkeypatch.setattr(CudaPipeline, "_captured", captured)
    same(Bench().infer(demo_golden["frame_bgr"]), expected)
    assert "differs from the eager pass" in caplog.text


def test_out_of_memory_while_capturing_is_not_taken_for_a_missing_feature(demo_golden, monkeypatch):
    def fails(pipeline, slot, size):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(CudaPipeline, "_captured", fails)
    with pytest.raises(torch.OutOfMemoryError):
        Bench().infer(demo_golden["frame_bgr"])


def test_results_outlive_the_buffers_that_brought_them(demo_golden):
    bench = Bench()
    first = bench.infer(demo_golden["frame_bgr"])
    copy = first.mask_logits.copy(), first.box.copy()
    for _ in range(2):
        bench.infer(np.ascontiguousarray(demo_golden["frame_bgr"][::-1]))
    np.testing.assert_array_equal(first.mask_logits, copy[0])
    np.testing.assert_array_equal(first.box, copy[1])
