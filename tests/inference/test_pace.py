"""The pace by itself, and how the inference loop keeps it."""

import queue
import threading
import time

import numpy as np
import pytest
from test_inference_loop import Bench, FakeEngine

from edge.capture.slot import FrameSlots
from edge.clock import Clock, Timestamp
from edge.frame import Frame
from edge.inference.loop import InferenceLoop, Inferred
from edge.inference.pace import Pace
from edge.metrics import Metrics


class StoppedClock(Clock):
    def __init__(self) -> None:
        super().__init__()
        self.now_s = 100.0

    def uptime_s(self) -> float:
        return self.now_s


def taken_at(pace: Pace, clock: StoppedClock, frames_at: list[float]) -> list[float]:
    """Which of the frames that come at these times a loop would take, if each replaced the last."""
    taken = []
    for clock.now_s in frames_at:
        if not pace.wait_s():
            pace.took(clock.now_s)
            taken.append(clock.now_s)
    return taken


def test_without_a_cap_nobody_waits():
    clock = StoppedClock()
    pace = Pace(clock)
    times = [100.0 + n / 1000 for n in range(50)]
    assert taken_at(pace, clock, times) == times
    assert (pace.cap_per_s, pace.taken) == (None, 50)


@pytest.mark.parametrize("cap_per_s", [1.0, 7.0, 12.5, 20.0])
def test_the_cap_is_reached_though_frames_come_on_a_grid_of_their_own(cap_per_s):
    clock = StoppedClock()
    pace = Pace(clock)
    pace.limit(cap_per_s)
    taken = taken_at(pace, clock, [100.0 + n / 25 for n in range(25 * 60)])
    assert len(taken) == pytest.approx(cap_per_s * 60, abs=2)
    assert pace.cap_per_s == pytest.approx(cap_per_s)


def test_no_burst_follows_a_pause():
    clock = StoppedClock()
    pace = Pace(clock)
    pace.limit(10.0)
    taken_at(pace, clock, [100.0])
    later = taken_at(pace, clock, [200.0 + n / 100 for n in range(40)])
    assert later == pytest.approx([200.0, 200.01, 200.11, 200.21, 200.31], abs=0.011)


def test_a_higher_cap_or_none_holds_at_once():
    clock = StoppedClock()
    pace = Pace(clock)
    pace.limit(1.0)
    pace.took(100.0)
    pace.took(100.0)
    assert pace.wait_s() == 1.0
    pace.limit(4.0)
    assert pace.wait_s() == 0.25
    pace.limit(None)
    assert pace.wait_s() == 0.0


class Paced(Bench):
    """The loop's bench, with a pace on the same clock."""

    def __init__(self) -> None:
        super().__init__()
        self.pace = Pace(self)
        ages = {"a": 0.5, "b": float("inf")}
        self.loop = InferenceLoop(self.slots, self.results, ages, self.metrics, self, self.pace)


def test_the_loop_takes_no_frame_before_its_time_and_then_the_newest():
    bench, engine = Paced(), FakeEngine()
    bench.pace.limit(10.0)
    bench.frame("a", 1)
    bench.turn(engine)
    bench.pace.took(bench.now_s)
    bench.frame("a", 2)
    bench.turn(engine)
    assert engine.seen == [1]
    assert not bench.slots["a"].empty, "the frame still waits"
    bench.frame("a", 3)
    bench.now_s += 0.2
    bench.turn(engine)
    assert engine.seen == [1, 3]


def test_a_result_in_flight_does_not_wait_for_the_pace():
    bench, engine = Paced(), FakeEngine(depth=2)
    bench.pace.limit(0.1)
    bench.frame("a", 1)
    bench.turn(engine)
    bench.pace.took(bench.now_s)
    bench.frame("a", 2)
    started_s = time.monotonic()
    bench.turn(engine)
    assert time.monotonic() - started_s < 0.2, "it waited before it harvested"
    assert bench.results.get_nowait().frame.id == 1
    assert engine.seen == [1]


def test_a_stale_frame_costs_no_turn_of_the_pace():
    bench, engine = Paced(), FakeEngine()
    bench.pace.limit(1.0)
    bench.frame("a", 1, age_s=2.0)
    bench.frame("b", 2)
    bench.turn(engine)
    bench.turn(engine)
    assert engine.seen == [2]
    assert bench.count("frames_dropped_total", camera="a", reason="stale") == 1


def test_cameras_take_turns_under_a_cap():
    bench, engine = Paced(), FakeEngine()
    bench.pace.limit(10.0)
    for number in range(20):
        bench.frame("a", 10)
        bench.frame("b", 20)
        bench.now_s += 0.1
        bench.turn(engine)
        assert len(engine.seen) >= number
    assert abs(engine.seen.count(10) - engine.seen.count(20)) <= 1


class LiveLoop:
    """The loop in its thread on the real clock, and cameras that put a frame each 5 ms."""

    def __init__(self, cameras: tuple[str, ...], engine: FakeEngine) -> None:
        clock = Clock()
        self.pace, self.metrics = Pace(clock), Metrics()
        self.slots = FrameSlots(cameras)
        self.results: queue.Queue[Inferred] = queue.Queue()
        self.ages = dict.fromkeys(cameras, 0.5)
        self.loop = InferenceLoop(
            self.slots, self.results, self.ages, self.metrics, clock, self.pace
        )
        self._clock, self._cameras = clock, cameras
        self._stop, self._stop_cameras = threading.Event(), threading.Event()
        self.captured, self.overwritten = 0, 0
        self._threads = [
            threading.Thread(target=self.loop.run, args=(engine, self._stop)),
            threading.Thread(target=self._capture),
        ]

    def _capture(self) -> None:
        image = np.zeros((4, 4, 3), np.uint8)
        while not self._stop_cameras.wait(0.005):
            now = Timestamp(0.0, self._clock.uptime_s(), True)
            for camera in self._cameras:
                self.captured += 1
                lost = self.slots[camera].put(Frame(camera, self.captured, now, image))
                self.overwritten += lost is not None

    def __enter__(self) -> "LiveLoop":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_cameras.set()
        self._stop.set()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()


def test_the_loop_keeps_turning_under_the_lowest_cap_and_stops_at_once():
    engine = FakeEngine(depth=2)
    with LiveLoop(("a",), engine) as live:
        live.pace.limit(0.01)
        live.results.get(timeout=10)
        turns, deadline_s = live.loop.turns, time.monotonic() + 10
        while live.loop.turns < turns + 4 and time.monotonic() < deadline_s:
            threading.Event().wait(0.01)
        assert live.loop.turns >= turns + 4
        started_s = time.monotonic()
    assert time.monotonic() - started_s < 1.0
    assert len(engine.seen) <= 3


def test_a_file_that_waits_for_its_slot_is_slowed_and_loses_nothing():
    engine = FakeEngine()
    with LiveLoop((), engine) as live:
        slot = live.slots.add("clip")
        live.ages["clip"] = float("inf")
        live.pace.limit(100.0)
        started_s = time.monotonic()
        for number in range(30):
            assert slot.wait_empty(threading.Event())
            image = np.full((4, 4, 3), number, np.uint8)
            assert slot.put(Frame("clip", number, Timestamp(0.0, 0.0, True), image)) is None
        for _ in range(30):
            live.results.get(timeout=10)
    assert engine.seen == list(range(30))
    assert time.monotonic() - started_s >= 28 / 100.0


def test_a_cap_is_kept_between_cameras_and_every_frame_is_accounted_for():
    engine = FakeEngine(depth=2)
    with LiveLoop(("a", "b"), engine) as live:
        live.pace.limit(50.0)
        first = live.results.get(timeout=10)
        inferred = [first, *(live.results.get(timeout=10) for _ in range(49))]
    seconds = inferred[-1].started_uptime_s - first.started_uptime_s
    assert seconds >= 48 / 50.0, "49 intervals, of which one may be made up for"
    by_camera = [result.frame.camera for result in inferred]
    assert 20 <= by_camera.count("a") <= 30
    rest = len(live.slots.drain())
    in_time = live.captured - live.overwritten - rest
    stale = sum(
        live.metrics.registry.get_sample_value(
            "rfdetr_edge_frames_dropped_total", {"camera": camera, "reason": "stale"}
        )
        or 0.0
        for camera in ("a", "b")
    )
    assert in_time == len(engine.seen) + stale
