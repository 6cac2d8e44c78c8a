"""A camera that is switched off and on: what is closed, when, and what becomes of its frames."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_camera import (
    DEADLINE_S,
    Bench,
    ManualClock,
    ScriptedSource,
    camera_defaults,
    frames,
    gated,
    until,
)
from test_file_source import make_video

from edge.capture.address import FileAddress, ShapesAddress
from edge.capture.camera import Camera
from edge.capture.slot import FrameSlots
from edge.capture.source import SourceError, StreamInfo, Wait
from edge.capture.timing import Backoff
from edge.config import CameraSettings
from edge.frame import Image
from edge.metrics import DROP_REASONS, Metrics

pytestmark = pytest.mark.timeout(60)


def captures(gate: threading.Semaphore, bench: Bench, number: int) -> None:
    """Let the camera capture until it has captured so many frames in all."""
    for captured in range(bench.count("frames_captured_total"), number):
        gate.release()
        until(lambda wanted=captured + 1: bench.count("frames_captured_total") == wanted)
    until(lambda: not bench.slots["cam"].empty)


class TestSwitchedOff:
    def test_its_own_thread_closes_the_source_and_nobody_waits_for_it(self) -> None:
        gate = threading.Semaphore(0)
        bench = Bench(gated(gate))
        bench.camera.start()
        captures(gate, bench, 1)
        bench.camera.disable()  # while the thread waits in grab()
        assert bench.camera.state(bench.camera._clock.uptime_s()) == "disabled"
        assert bench.camera.reason == "switched off"
        assert bench.count("camera_up") == 0
        assert bench.sources[0].closed_by is None
        gate.release()
        assert bench.camera.join(DEADLINE_S)
        assert bench.sources[0].closed_by == "capture-cam"
        assert bench.count("frames_captured_total") == 1

    def test_the_waiting_frame_is_dropped_and_counted(self) -> None:
        gate = threading.Semaphore(0)
        bench = Bench(gated(gate))
        bench.camera.start()
        captures(gate, bench, 3)
        until(lambda: bench.dropped("overwritten") == 2)
        bench.camera.disable()
        assert bench.slots.take(0) is None
        assert bench.dropped("disabled") == 1
        assert bench.count("frames_captured_total") == bench.all_dropped() == 3
        gate.release()
        assert bench.camera.join(DEADLINE_S)

    def test_the_frame_in_hand_is_dropped_and_counted(self) -> None:
        converting, go_on = threading.Event(), threading.Event()

        class SlowToConvert(ScriptedSource):
            def retrieve(self) -> Image:
                converting.set()
                go_on.wait()
                return super().retrieve()

        bench = Bench(frames(0))
        camera = Camera(
            bench.camera.settings,
            bench.slots["cam"],
            bench.metrics,
            opener=lambda settings, next_id, wait: SlowToConvert(frames(1)()),
        )
        camera.start()
        assert converting.wait(DEADLINE_S)
        camera.disable()
        assert bench.dropped("disabled") == 1
        go_on.set()
        assert camera.join(DEADLINE_S)
        assert bench.slots.drain() == []
        assert bench.count("frames_captured_total") == bench.all_dropped() == 1

    def test_a_backoff_ends_at_once(self) -> None:
        bench = Bench(frames(0, SourceError("gone")), backoff=Backoff(first_s=1000.0))
        bench.camera.start()
        until(lambda: bench.camera.reason == "gone")
        bench.camera.disable()
        assert bench.camera.join(DEADLINE_S)
        assert bench.camera.reason == "switched off"

    def test_twice_is_once(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        bench = Bench(frames(0))
        bench.camera.disable()
        bench.camera.disable()
        assert [r.getMessage() for r in caplog.records] == ["camera cam: switched off"]

    def test_before_the_start_it_is_not_opened_until_it_is_switched_on(self) -> None:
        bench = Bench(frames(1))
        bench.camera.disable()
        bench.camera.start()
        bench.camera.supervise(1e9)
        assert bench.camera.state(0.0) == "disabled"
        assert bench.sources == []
        bench.camera.enable()
        assert bench.slots.take(DEADLINE_S) is not None
        bench.camera.stop()

    def test_a_thread_that_never_leaves_is_counted_but_not_replaced(self) -> None:
        clock, hang = ManualClock(), threading.Event()
        opening = threading.Event()

        def open_for_ever() -> None:
            opening.set()
            hang.wait()

        bench = Bench(frames(0), clock=clock, opening=open_for_ever)
        bench.camera.start()
        assert opening.wait(DEADLINE_S)
        bench.camera.disable()
        assert not bench.camera.join(0)
        clock.uptime += 30.0
        bench.camera.supervise(clock.uptime)
        assert bench.camera.abandoned == 0
        clock.uptime += 0.1
        bench.camera.supervise(clock.uptime)
        assert bench.camera.abandoned == 1
        assert len(bench.sources) == 1
        assert bench.camera.reason == "switched off"
        hang.set()
        assert bench.camera.join(DEADLINE_S)
        assert bench.camera.abandoned == 0


class TestSwitchedOnAgain:
    def test_it_opens_anew_and_its_frame_ids_go_on(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        gate = threading.Semaphore(0)
        bench = Bench(gated(gate))
        bench.camera.start()
        captures(gate, bench, 2)
        bench.camera.disable()
        gate.release()
        assert bench.camera.join(DEADLINE_S)
        bench.camera.enable()
        assert bench.camera.reason == ""
        now_s = bench.camera._clock.uptime_s()
        assert bench.camera.state(now_s) == "offline"  # what it saw before is long over
        captures(gate, bench, 3)
        assert bench.camera.state(now_s) == "online"
        assert bench.count("camera_up") == 1
        assert bench.first_ids == [0, 2]
        bench.camera.stop()
        gate.release()
        assert bench.camera.join(DEADLINE_S)
        assert [frame.id for frame in bench.slots.drain()] == [2]
        said = [record.getMessage() for record in caplog.records]
        delivers = "camera cam: delivers 4x3, script 4x3 at 10 fps, decoder script"
        switched = ["camera cam: switched off", "camera cam: switched on"]
        assert said == [delivers, *switched, delivers]

    def test_that_is_no_reconnect_and_the_backoff_begins_anew(self) -> None:
        class Remembering(Backoff):
            def __init__(self) -> None:
                super().__init__(first_s=1000.0)
                self.said: list[str] = []

            def next_s(self) -> float:
                self.said.append("wait")
                return super().next_s()

            def reset(self) -> None:
                self.said.append("reset")
                super().reset()

        backoff = Remembering()
        bench = Bench(frames(0, SourceError("gone")), backoff=backoff)
        bench.camera.start()
        until(lambda: bench.camera.reason == "gone")
        bench.camera.disable()
        assert bench.camera.join(DEADLINE_S)
        bench.camera.enable()
        until(lambda: bench.camera.reason == "gone")
        bench.camera.stop()
        assert bench.camera.join(DEADLINE_S)
        assert backoff.said == ["wait", "reset", "wait"]
        assert bench.count("camera_reconnects_total") == 0

    def test_a_failure_that_was_logged_before_is_logged_again(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench = Bench(frames(0, SourceError("gone")), backoff=Backoff(first_s=1000.0))
        bench.camera.start()
        for _ in range(2):
            until(lambda: bench.camera.reason == "gone")
            bench.camera.disable()
            assert bench.camera.join(DEADLINE_S)
            bench.camera.enable()
        until(lambda: bench.camera.reason == "gone")
        bench.camera.stop()
        assert bench.camera.join(DEADLINE_S)
        logged = [record.getMessage().split(";")[0] for record in caplog.records]
        assert logged == ["camera cam: gone"] * 3

    def test_the_old_thread_is_waited_for_before_the_source_is_opened(self) -> None:
        hang, opening = threading.Event(), threading.Event()

        def hang_at_first() -> None:
            opening.set()
            hang.wait()

        bench = Bench(frames(1), opening=hang_at_first)
        bench.camera.start()
        assert opening.wait(DEADLINE_S)
        for _ in range(3):
            bench.camera.disable()
            bench.camera.enable()
        bench.camera.supervise(bench.camera._clock.uptime_s())
        assert len(bench.sources) == 1
        hang.set()
        until(lambda: bench.sources[0].closed_by == "capture-cam")

        def on_again() -> bool:
            bench.camera.supervise(bench.camera._clock.uptime_s())
            return not bench.slots["cam"].empty

        until(on_again)
        assert len(bench.sources) == 2
        assert [frame.id for frame in bench.slots.drain()] == [0]
        bench.camera.stop()

    def test_an_old_thread_that_never_leaves_is_not_waited_for_longer_than_that(self) -> None:
        clock, hang, opening = ManualClock(), threading.Event(), threading.Semaphore(0)
        hangs = iter([hang.wait])

        def hang_at_first() -> None:
            opening.release()
            next(hangs, lambda: None)()

        bench = Bench(frames(1), clock=clock, opening=hang_at_first)
        bench.camera.start()
        assert opening.acquire(timeout=DEADLINE_S)
        bench.camera.disable()
        bench.camera.enable()
        clock.uptime += 30.1
        bench.camera.supervise(clock.uptime)
        assert bench.camera.abandoned == 1
        until(lambda: not bench.slots["cam"].empty)
        hang.set()  # what the old one opens late, it closes itself
        until(lambda: bench.sources[0].closed_by == "capture-cam")
        assert bench.count("frames_captured_total") == 1
        bench.camera.stop()

    def test_frames_from_before_are_not_wanted(self) -> None:
        gate = threading.Semaphore(0)
        bench = Bench(gated(gate))
        bench.camera.start()
        captures(gate, bench, 1)
        in_flight = bench.slots.take(0)
        assert in_flight is not None
        assert in_flight.id >= bench.camera.wanted_from[0]
        bench.camera.disable()
        assert in_flight.id < bench.camera.wanted_from[0]
        gate.release()
        assert bench.camera.join(DEADLINE_S)
        bench.camera.enable()
        assert in_flight.id < bench.camera.wanted_from[0]
        captures(gate, bench, 2)
        frame = bench.slots.take(0)
        assert frame is not None
        assert frame.id >= bench.camera.wanted_from[0]
        assert bench.dropped("disabled") == 0
        bench.camera.stop()
        gate.release()

    def test_after_a_stop_it_stays_stopped(self) -> None:
        bench = Bench(frames(1))
        bench.camera.start()
        assert bench.slots.take(DEADLINE_S) is not None
        bench.camera.disable()
        bench.camera.stop()
        bench.camera.enable()
        bench.camera.supervise(1e9)
        assert len(bench.sources) == 1
        assert bench.camera.state(0.0) == "offline"


class OneAtATime:
    """A source that delivers at once, and knows whether another of its kind is open."""

    decoder = "script"
    fallen_back = ""
    description = StreamInfo("script")
    opened = open_now = most_open = 0

    def __init__(self, settings: CameraSettings, next_frame_id: int, wait: Wait) -> None:
        self._source = ScriptedSource(frames(10**9)())

    def open(self) -> None:
        OneAtATime.opened += 1
        OneAtATime.open_now += 1
        OneAtATime.most_open = max(OneAtATime.most_open, OneAtATime.open_now)

    def grab(self) -> None:
        self._source.grab()

    def retrieve(self) -> Image:
        return self._source.retrieve()

    def close(self) -> None:
        OneAtATime.open_now -= 1


@pytest.mark.parametrize("source", [ShapesAddress(), FileAddress(Path("clip.mp4"), pace=False)])
def test_switching_to_and_fro_loses_no_frame_from_the_books(
    source: ShapesAddress | FileAddress,
) -> None:
    metrics, slots = Metrics(), FrameSlots(["cam"])
    settings = CameraSettings.model_construct(id="cam", source=source, **camera_defaults({}))
    camera = Camera(settings, slots["cam"], metrics, opener=OneAtATime)
    OneAtATime.opened = OneAtATime.open_now = OneAtATime.most_open = 0
    stop = threading.Event()
    taken: list[int] = []

    def take() -> None:
        while not stop.is_set():
            frame = slots.take(0.01)
            if frame is not None:
                taken.append(frame.id)

    consumer = threading.Thread(target=take)
    consumer.start()
    camera.start()
    for number in range(200):
        camera.enable()
        if number % 2:
            seen = len(taken)

            def one_more(seen: int = seen) -> bool:
                camera.supervise(camera._clock.uptime_s())
                return len(taken) > seen

            until(one_more)
        camera.disable()
    assert camera.join(DEADLINE_S)
    assert slots["cam"].empty
    stop.set()
    consumer.join(DEADLINE_S)

    def count(name: str, **labels: str) -> int:
        sample = f"rfdetr_edge_{name}"
        return int(metrics.registry.get_sample_value(sample, {"camera": "cam", **labels}) or 0)

    dropped = sum(count("frames_dropped_total", reason=reason) for reason in DROP_REASONS)
    assert count("frames_captured_total") == len(taken) + dropped
    assert taken == sorted(set(taken))
    assert count("frames_dropped_total", reason="disabled") > 0
    assert OneAtATime.opened > 50
    assert OneAtATime.most_open == 1
    assert OneAtATime.open_now == 0


class TestOfAFile:
    @pytest.fixture
    def clip(self, tmp_path: Path) -> Path:
        return make_video(tmp_path / "clip.mp4", list(range(0, 480, 40)))

    @pytest.fixture
    def bench(self, clip: Path) -> Iterator[Bench]:
        bench = Bench(frames(0), source=FileAddress(clip, pace=False))
        bench.camera = Camera(bench.camera.settings, bench.slots["cam"], bench.metrics)
        yield bench
        bench.stop()

    def take_all(self, bench: Bench) -> list[int]:
        ids = []
        while not (bench.camera.ended and bench.slots.all_done("cam")):
            frame = bench.slots.take(0.01)
            if frame is not None:
                ids.append(frame.id)
                bench.slots.done("cam")
        return ids

    def test_off_while_it_waits_for_the_loop(self, bench: Bench) -> None:
        bench.camera.start()
        until(lambda: bench.count("frames_captured_total") == 2)  # one in the slot, one in hand
        until(lambda: bench.camera.state(1e9) == "online")
        bench.camera.disable()
        assert bench.camera.join(DEADLINE_S)
        assert bench.dropped("disabled") == bench.count("frames_captured_total") == 2
        assert bench.slots.drain() == []

    def test_on_again_it_begins_anew_and_its_frame_ids_go_on(self, bench: Bench) -> None:
        bench.camera.start()
        until(lambda: bench.count("frames_captured_total") == 2)
        bench.camera.disable()
        assert bench.camera.join(DEADLINE_S)
        bench.camera.enable()
        assert self.take_all(bench) == list(range(2, 14))

    def test_one_that_has_ended_is_played_again(self, bench: Bench) -> None:
        bench.camera.start()
        assert self.take_all(bench) == list(range(12))
        bench.camera.disable()
        assert bench.camera.ended  # nothing more comes, but for an `enable`
        assert bench.camera.state(0.0) == "disabled"
        bench.camera.enable()
        assert not bench.camera.ended
        assert self.take_all(bench) == list(range(12, 24))
        assert bench.camera.reason == "the file has ended"

    def test_off_in_the_middle_is_no_end(self, bench: Bench) -> None:
        bench.camera.start()
        until(lambda: bench.count("frames_captured_total") == 2)
        bench.camera.disable()
        assert bench.camera.join(DEADLINE_S)
        assert bench.slots.all_done("cam")
        assert not bench.camera.ended
