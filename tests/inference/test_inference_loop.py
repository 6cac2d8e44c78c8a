"""The loop between slots and events: what it infers, what it drops, what it counts."""

import queue
import threading

import numpy as np
import pytest

from edge.capture.slot import FrameSlots
from edge.clock import Timestamp
from edge.detections import Detections
from edge.frame import Frame
from edge.inference.loop import InferenceLoop, Inferred
from edge.inference.stage_times import StageTimes
from edge.metrics import Metrics

NOTHING = Detections(
    np.zeros(0, np.float32),
    np.zeros(0, np.int64),
    np.zeros((0, 4), np.float32),
    np.zeros((0, 4, 4), np.float32),
    (4, 4),
)


class FakeEngine:
    """Finds nothing; ``seen`` are the frames' first pixels, ``fails`` what it raises instead."""

    def __init__(self, fails: Exception | None = None, depth: int = 1) -> None:
        self.seen: list[int] = []
        self.depth, self.in_flight = depth, 0
        self._fails = fails

    def submit(self, image):
        assert self.in_flight < self.depth
        self.in_flight += 1
        self.seen.append(int(image[0, 0, 0]))

    def harvest(self):
        assert self.in_flight
        if self._fails is not None:
            raise self._fails
        self.in_flight -= 1
        return NOTHING, StageTimes(0.001, 0.01, 0.002)


class Bench:
    """A loop with two cameras, and a clock that stands at ``now_s``."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.slots = FrameSlots(["a", "b"])
        self.results: queue.Queue[Inferred] = queue.Queue()
        self.metrics = Metrics()
        max_age_s = {"a": 0.5, "b": float("inf")}
        self.loop = InferenceLoop(self.slots, self.results, max_age_s, self.metrics, self)

    def uptime_s(self) -> float:
        return self.now_s

    def turn(self, engine: FakeEngine) -> None:
        self.loop.turn(engine, threading.Event())

    def frame(self, camera: str, number: int, age_s: float = 0.0) -> None:
        captured_at = Timestamp(0.0, self.now_s - age_s, True)
        image = np.full((4, 4, 3), number, np.uint8)
        self.slots[camera].put(Frame(camera, number, captured_at, image))

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"rfdetr_edge_{name}", labels) or 0.0


def test_an_inferred_frame_is_handed_on_with_its_times():
    bench = Bench()
    bench.frame("a", 7, age_s=0.1)
    bench.turn(FakeEngine())
    inferred = bench.results.get_nowait()
    assert (inferred.frame.camera, inferred.frame.id) == ("a", 7)
    assert inferred.started_uptime_s == 100.0
    assert inferred.infer_s == pytest.approx(0.013)
    assert bench.count("frames_inferred_total", camera="a") == 1
    assert bench.count("frame_age_seconds_sum", camera="a") == pytest.approx(0.1)
    assert bench.count("stage_seconds_sum", stage="forward") == pytest.approx(0.01)


def test_a_stale_frame_is_dropped_and_counted():
    bench = Bench()
    engine = FakeEngine()
    bench.frame("a", 1, age_s=0.501)
    bench.turn(engine)
    assert engine.seen == []
    assert bench.results.empty()
    assert bench.count("frames_dropped_total", camera="a", reason="stale") == 1
    assert bench.slots.all_done("a")
    assert bench.count("frame_age_seconds_count", camera="a") == 0
    assert bench.count("frames_inferred_total", camera="a") == 0


def test_an_unpaced_file_may_be_late():
    bench = Bench()
    engine = FakeEngine()
    bench.frame("b", 1, age_s=3600)
    bench.turn(engine)
    assert engine.seen == [1]


def test_cameras_take_turns():
    bench = Bench()
    engine = FakeEngine()
    for number in range(4):
        bench.frame("a", 10 + number)
        if number == 0:
            bench.frame("b", 20)
        bench.turn(engine)
    assert engine.seen.index(20) <= 1


def test_a_frame_that_breaks_the_engine_is_counted_and_the_error_is_not_hidden():
    bench = Bench()
    bench.frame("a", 1)
    with pytest.raises(RuntimeError, match="device lost"):
        bench.turn(FakeEngine(RuntimeError("device lost")))
    assert bench.count("frames_dropped_total", camera="a", reason="error") == 1


def test_empty_turns_count_as_progress():
    bench = Bench()
    stop = threading.Event()
    thread = threading.Thread(target=bench.loop.run, args=(FakeEngine(), stop))
    thread.start()
    bench.frame("a", 1)
    bench.results.get(timeout=10)
    bench.frame("a", 2)
    bench.results.get(timeout=10)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert bench.loop.turns >= 2
    assert bench.loop.turned_uptime_s == 100.0


def test_a_dead_events_thread_does_not_hold_the_loop_once_it_is_told_to_stop():
    bench = Bench()
    bench.loop._results = queue.Queue(maxsize=1)
    stop = threading.Event()
    thread = threading.Thread(target=bench.loop.run, args=(FakeEngine(), stop))
    thread.start()
    for number in range(2):  # the first fills the queue, the second finds nobody who empties it
        bench.frame("a", number)
        while bench.count("frames_inferred_total", camera="a") <= number:
            assert thread.is_alive()
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    bench.slots.done("a")  # the first is reported; with the second the loop was done itself
    assert bench.slots.all_done("a")


def test_the_time_before_the_first_turn_is_no_stall():
    bench = Bench()
    bench.now_s += 300  # a long load
    stop = threading.Event()
    stop.set()
    bench.loop.run(FakeEngine(), stop)
    assert bench.loop.turned_uptime_s == 400.0


class TestWithTwoFramesInFlight:
    def test_the_next_frame_is_submitted_before_the_first_result_is_waited_for(self):
        bench, engine = Bench(), FakeEngine(depth=2)
        bench.frame("a", 1)
        bench.frame("b", 2)
        bench.turn(engine)
        assert (engine.seen, bench.results.qsize()) == ([1], 0)
        bench.turn(engine)
        assert (engine.seen, bench.results.qsize()) == ([1, 2], 1)
        bench.frame("a", 3)
        bench.turn(engine)
        assert (engine.seen, bench.results.qsize()) == ([1, 2, 3], 2)
        bench.slots.done("a")
        bench.slots.done("b")
        assert not bench.slots.all_done("a")  # the third is in flight
        assert bench.slots.all_done("b")

    def test_a_result_is_handed_on_at_once_where_no_frame_waits(self):
        bench, engine = Bench(), FakeEngine(depth=2)
        bench.frame("a", 1)
        bench.turn(engine)
        bench.turn(engine)
        assert bench.results.get_nowait().frame.id == 1
        assert not bench.slots.all_done("a")  # until the events thread has reported it
        bench.slots.done("a")
        assert bench.slots.all_done("a")

    def test_results_belong_to_their_frames(self):
        bench, engine = Bench(), FakeEngine(depth=2)
        for number in range(6):
            bench.frame("ab"[number % 2], number, age_s=number / 100)
            bench.turn(engine)
        bench.turn(engine)
        handed_on = [bench.results.get_nowait() for _ in range(6)]
        assert [inferred.frame.id for inferred in handed_on] == list(range(6))
        assert bench.count("frames_inferred_total", camera="a") == 3

    def test_a_stale_frame_does_not_hold_up_the_one_in_flight(self):
        bench, engine = Bench(), FakeEngine(depth=2)
        bench.frame("a", 1)
        bench.turn(engine)
        bench.frame("a", 2, age_s=1)
        bench.turn(engine)
        bench.turn(engine)
        assert bench.results.get_nowait().frame.id == 1
        assert bench.count("frames_dropped_total", camera="a", reason="stale") == 1

    def test_what_is_in_flight_is_finished_when_told_to_stop(self):
        bench, engine = Bench(), FakeEngine(depth=2)
        for camera, number in (("a", 1), ("b", 2)):
            bench.frame(camera, number)
        bench.turn(engine)
        stop = threading.Event()
        stop.set()
        bench.loop.run(engine, stop)
        assert bench.results.get_nowait().frame.id == 1
        assert engine.seen == [1], "took a frame after it was told to stop"

    def test_frames_that_a_broken_engine_had_are_counted(self):
        bench, engine = Bench(), FakeEngine(RuntimeError("device lost"), depth=2)
        bench.frame("a", 1)
        bench.turn(engine)
        bench.frame("b", 2)
        with pytest.raises(RuntimeError, match="device lost"):
            bench.turn(engine)
        assert bench.count("frames_dropped_total", camera="a", reason="error") == 1
        assert bench.count("frames_dropped_total", camera="b", reason="error") == 1
        assert bench.slots.all_done("a")
        assert bench.slots.all_done("b")
