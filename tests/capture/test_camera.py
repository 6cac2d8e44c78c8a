"""The capture thread: what it counts, how it retries, and what becomes of one that hangs.

Faults that no real part shows on demand (a call that hangs, an exception out of the blue) come from
a small source of the tests' own; the rest runs on files and the synthetic camera.
"""

import logging
import threading
import time
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

from edge.capture.address import CsiAddress, FileAddress, RtspAddress, ShapesAddress
from edge.capture.camera import Camera
from edge.capture.slot import FrameSlot, FrameSlots
from edge.capture.source import (
    DamagedFrame,
    SourceError,
    Wait,
)
from edge.capture.tenure import stuck_after_s
from edge.capture.timing import Backoff
from edge.config import CameraSettings
from edge.frame import Frame, Image
from edge.metrics import Metrics

pytestmark = pytest.mark.timeout(60)


def test_frames_reach_the_slot_in_order_with_ids_from_zero() -> None:
    gate = threading.Semaphore(0)
    bench = Bench(gated(gate))
    bench.camera.start()
    taken = []
    for _ in range(5):
        gate.release()
        frame = bench.slots.take(DEADLINE_S)
        assert frame is not None
        taken.append(frame)
    bench.camera.stop()
    gate.release()
    assert bench.camera.join(DEADLINE_S)
    assert [(frame.camera, frame.id) for frame in taken] == [("cam", n) for n in range(5)]
    assert bench.count("frames_captured_total") == 5
    assert bench.camera.size == (3, 4)
    assert bench.camera.decoder == "script"
    assert bench.slots.drain() == []


def test_newest_frame_wins_and_the_others_are_counted() -> None:
    bench = Bench(frames(10, SourceError("gone")), clock=ManualClock())
    bench.camera.start()
    until(lambda: bench.count("camera_reconnects_total") >= 1)
    waiting = bench.stop()
    captured = bench.count("frames_captured_total")
    assert captured >= 10
    assert [frame.id for frame in waiting] == [captured - 1]
    assert bench.dropped("overwritten") == captured - 1


def test_reopens_after_a_failure_and_goes_on_counting() -> None:
    bench = Bench(frames(3, SourceError("gone")), frames(4, SourceError("gone")), frames(0))
    bench.camera.start()
    until(lambda: len(bench.sources) == 3)
    assert bench.first_ids == [0, 3, 7]
    assert bench.count("camera_reconnects_total") == 2
    assert bench.count("camera_up") == 0
    assert bench.camera.reason == "gone"
    assert [source.closed_by for source in bench.sources[:2]] == ["capture-cam"] * 2
    bench.camera.stop()


def test_an_exception_out_of_the_blue_restarts_the_camera(caplog: pytest.LogCaptureFixture) -> None:
    failure = ZeroDivisionError("at rtsp://joe:Secret1@10.0.0.4/cam")
    bench = Bench(frames(2, failure), frames(0))
    bench.camera.start()
    until(lambda: len(bench.sources) == 2)
    bench.camera.stop()
    assert bench.camera.reason == "capture failed unexpectedly (ZeroDivisionError)"
    assert "Traceback" in caplog.text
    assert "rtsp://***@10.0.0.4/cam" in caplog.text
    assert "Secret1" not in caplog.text


def test_a_damaged_frame_is_dropped_and_the_camera_goes_on() -> None:
    script = ["frame", DamagedFrame(), "frame", SourceError("gone")]
    bench = Bench(lambda: iter(script), frames(0))
    bench.camera.start()
    until(lambda: len(bench.sources) == 2)
    bench.camera.stop()
    assert bench.count("frames_captured_total") == 3
    assert bench.dropped("error") == 1
    assert bench.dropped("overwritten") == 1
    assert [frame.id for frame in bench.slots.drain()] == [2]


def test_a_frame_lost_between_grab_and_slot_is_counted() -> None:
    class Broken(ScriptedSource):
        def retrieve(self) -> Image:
            raise RuntimeError("no memory")

    bench = Bench(frames(0))
    opened: list[ScriptedSource] = []

    def opener(settings: CameraSettings, next_frame_id: int, wait: Wait) -> ScriptedSource:
        opened.append(Broken(frames(1)()) if not opened else ScriptedSource(frames(0)()))
        return opened[-1]

    camera = Camera(
        bench.camera.settings,
        bench.slots["cam"],
        bench.metrics,
        opener=opener,
        backoff=Backoff(first_s=0.001),
    )
    camera.start()
    until(lambda: len(opened) == 2)
    camera.stop()
    assert bench.count("frames_captured_total") == 1
    assert bench.dropped("error") == 1


def test_a_reason_is_logged_when_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    reasons = ["down", "down", "down", "refused", "refused", "down"]
    scripts = [frames(0, SourceError(reason)) for reason in reasons]
    bench = Bench(*scripts, frames(0))
    bench.camera.start()
    until(lambda: len(bench.sources) == len(reasons) + 1)
    bench.camera.stop()
    logged = [r.getMessage().split(";")[0] for r in caplog.records if r.levelname == "WARNING"]
    assert logged == ["camera cam: down", "camera cam: refused", "camera cam: down"]


def test_the_backoff_grows_until_frames_have_come_for_a_while() -> None:
    clock = ManualClock()

    class CountingBackoff(Backoff):
        def __init__(self) -> None:
            super().__init__(first_s=0.0001, most_s=0.0001)
            self.log: list[str] = []

        def next_s(self) -> float:
            self.log.append("wait")
            return super().next_s()

        def reset(self) -> None:
            self.log.append("reset")
            super().reset()

    def pass_time() -> str:
        clock.uptime += 11.0
        return "frame"

    backoff = CountingBackoff()
    steady = ["frame", pass_time, SourceError("gone")]
    scripts = [frames(1, SourceError("gone")), lambda: iter(steady), frames(0)]
    bench = Bench(*scripts)
    camera = Camera(
        bench.camera.settings, bench.slots["cam"], bench.metrics, clock, bench._open, backoff
    )
    camera.start()
    until(lambda: len(bench.sources) == 3)
    camera.stop()
    assert backoff.log == ["wait", "reset", "wait"]


def test_rate_cap_drops_before_conversion_and_is_counted() -> None:
    clock = ManualClock()
    converted = 0

    def tick() -> str:
        clock.uptime += 1 / 30
        return "frame"

    class Counting(ScriptedSource):
        def retrieve(self) -> Image:
            nonlocal converted
            converted += 1
            return super().retrieve()

    script = [tick] * 60
    bench = Bench(frames(0), max_fps=10)
    done = threading.Event()

    def end() -> object:
        done.set()
        return threading.Event().wait()

    camera = Camera(
        bench.camera.settings,
        bench.slots["cam"],
        bench.metrics,
        clock,
        lambda settings, next_id, wait: Counting(iter([*script, end])),
    )
    camera.start()
    assert done.wait(DEADLINE_S)
    camera.stop()
    assert bench.count("frames_captured_total") == 60
    assert converted == 20
    assert bench.dropped("rate") == 40


def test_ignored_regions_are_black_before_the_slot() -> None:
    left_half = [(0.0, 0.0), (0.25, 0.0), (0.25, 1.0), (0.0, 1.0)]
    bench = Bench(frames(1), ignore=[left_half])
    bench.camera.start()
    frame = bench.slots.take(DEADLINE_S)
    bench.camera.stop()
    assert frame is not None
    assert not frame.image[:, :1].any()
    assert (frame.image[:, 3:] == 255).all()


def test_a_thread_that_hangs_is_replaced_and_its_late_work_ignored() -> None:
    clock = ManualClock()
    hang = threading.Event()
    bench = Bench(lambda: iter(["frame", hang.wait, "frame"]), frames(1), clock=clock)
    bench.camera.start()
    until(lambda: not bench.slots["cam"].empty)
    until(lambda: bench.camera._tenure and bench.camera._tenure.busy_since_s is not None)
    old = bench.camera._tenure
    assert old is not None
    clock.uptime += 30.0
    bench.camera.supervise(clock.uptime)
    assert bench.camera.abandoned == 0  # not yet
    clock.uptime += 0.1
    bench.camera.supervise(clock.uptime)
    assert bench.camera.abandoned == 1
    until(lambda: bench.count("frames_captured_total") == 2)
    assert bench.count("camera_reconnects_total") == 1
    waiting = bench.slots.take(DEADLINE_S)
    hang.set()  # the old thread comes back, with a frame
    old.thread.join(DEADLINE_S)
    assert not old.thread.is_alive()
    assert bench.camera.abandoned == 0
    assert bench.sources[0].closed_by == "capture-cam"  # by itself, never by another thread
    assert waiting is not None
    assert waiting.id == 1
    assert bench.slots.drain() == []
    assert bench.count("frames_captured_total") == 2
    bench.camera.stop()


def test_a_frame_in_the_hands_of_a_hanging_thread_is_counted() -> None:
    clock = ManualClock()
    hang = threading.Event()

    class HangsInRetrieve(ScriptedSource):
        def retrieve(self) -> Image:
            hang.wait()
            return super().retrieve()

    bench = Bench(frames(0))
    sources = [HangsInRetrieve(frames(1)()), ScriptedSource(frames(0)())]
    remaining = iter(sources)
    camera = Camera(
        bench.camera.settings,
        bench.slots["cam"],
        bench.metrics,
        clock,
        lambda settings, next_id, wait: next(remaining),
    )
    camera.start()
    until(lambda: bench.count("frames_captured_total") == 1)
    clock.uptime += 31.0
    camera.supervise(clock.uptime)
    assert bench.dropped("error") == 1
    hang.set()
    until(lambda: sources[0].closed_by)
    assert bench.slots.drain() == []
    assert bench.count("frames_captured_total") == 1
    assert bench.dropped("error") == 1
    camera.stop()


def test_each_hanging_thread_is_replaced_and_counted() -> None:
    clock = ManualClock()
    hang = threading.Event()
    bench = Bench(lambda: iter([hang.wait]), clock=clock)
    bench.camera.start()
    for number in range(1, 5):
        until(
            lambda: (
                bench.camera._tenure is not None
                and bench.camera._tenure.busy_since_s == clock.uptime
            )
        )
        clock.uptime += 31.0
        bench.camera.supervise(clock.uptime)
        assert bench.camera.abandoned == number
    bench.camera.stop()  # else the last one would fail and try again, for as long as the tests run
    hang.set()


def test_a_call_that_its_timeouts_allow_is_not_stuck() -> None:
    settings = CameraSettings.model_validate(
        {"id": "cam", "source": "rtsp://10.0.0.4/a", "open_timeout_s": 30, "read_timeout_s": 30},
        context={"folder": Path()},
    )
    assert stuck_after_s(settings) > 2 * 30
    quick = settings.model_copy(update={"open_timeout_s": 5.0, "read_timeout_s": 3.0})
    assert stuck_after_s(quick) == 30


def test_online_while_the_last_frame_is_young() -> None:
    clock = ManualClock()
    bench = Bench(frames(1), clock=clock)
    assert bench.camera.state(clock.uptime) == "offline"
    bench.camera.start()
    until(lambda: bench.camera.last_frame_uptime_s is not None)
    assert bench.camera.state(clock.uptime + 5.0) == "online"
    assert bench.camera.state(clock.uptime + 5.1) == "offline"
    assert bench.count("camera_up") == 1
    bench.camera.supervise(clock.uptime + 5.1)
    assert bench.count("camera_up") == 0
    bench.camera.stop()
    assert bench.camera.state(clock.uptime) == "offline"


def test_stop_ends_a_long_backoff_at_once() -> None:
    bench = Bench(frames(0))
    camera = Camera(
        bench.camera.settings,
        bench.slots["cam"],
        bench.metrics,
        opener=lambda settings, next_id, wait: ScriptedSource(iter([SourceError("gone")])),
        backoff=Backoff(first_s=1000.0, most_s=1000.0),
    )
    camera.start()
    until(lambda: camera.reason == "gone")
    started = time.monotonic()
    camera.stop()
    assert camera.join(DEADLINE_S)
    assert time.monotonic() - started < 5


def real_camera(
    address: FileAddress | ShapesAddress | CsiAddress | RtspAddress,
    slot: FrameSlot,
    metrics: Metrics,
) -> Camera:
    settings = CameraSettings.model_construct(id="cam", source=address, **camera_defaults({}))
    return Camera(settings, slot, metrics)


def test_every_frame_of_a_file_with_pace_none_is_handed_over(tmp_path: Path) -> None:
    from test_file_source import make_video

    path = make_video(tmp_path / "clip.mp4", list(range(0, 480, 40)))
    metrics, slots = Metrics(), FrameSlots(["cam"])
    camera = real_camera(FileAddress(path, pace=False), slots["cam"], metrics)
    camera.start()
    ids = []
    while (frame := slots.take(1.0 if camera.ended else DEADLINE_S)) is not None:
        ids.append(frame.id)
        if camera.ended or len(ids) == 12:
            break
    until(lambda: camera.ended)
    assert ids == list(range(12))
    assert camera.join(DEADLINE_S)
    assert camera.reason == "the file has ended"
    dropped = metrics.registry.get_sample_value(
        "rfdetr_edge_frames_dropped_total", {"camera": "cam", "reason": "overwritten"}
    )
    assert dropped == 0


class Unpaced:
    """A camera on a real file without pace, on a clock that the test alone moves."""

    def __init__(self, folder: Path, loop: bool = False, max_fps: float | None = None) -> None:
        from test_file_source import make_video

        path = make_video(folder / "clip.mp4", [0, 40, 80, 280, 320])
        self.clock = ManualClock()
        self.bench = Bench(
            frames(0), source=FileAddress(path, loop=loop, pace=False), max_fps=max_fps
        )
        self.camera = Camera(
            self.bench.camera.settings,
            self.bench.slots["cam"],
            self.bench.metrics,
            self.clock,
        )

    def take(self, slow_s: float = 0.0) -> Frame:
        """The next frame; the network takes ``slow_s`` for it."""
        frame = self.bench.slots.take(DEADLINE_S)
        assert frame is not None
        self.clock.uptime += slow_s
        return frame

    def stop(self) -> None:
        self.camera.stop()
        assert self.camera.join(DEADLINE_S)


@pytest.mark.parametrize("slow_s", [0.0, 7.0])
def test_a_file_without_pace_is_captured_on_its_own_time(tmp_path: Path, slow_s: float) -> None:
    file = Unpaced(tmp_path)
    file.camera.start()
    captured = [file.take(slow_s).captured_at for _ in range(5)]
    assert [round(at.uptime_s, 3) for at in captured] == [1000, 1000.04, 1000.08, 1000.28, 1000.32]
    wall_s = [round(at.wall_s - 1.7e9, 3) for at in captured]
    assert wall_s == [0, 0.04, 0.08, 0.28, 0.32]
    assert all(at.synced for at in captured)
    file.stop()


def test_a_file_without_pace_stays_online_by_the_moment_of_the_grab(tmp_path: Path) -> None:
    file = Unpaced(tmp_path, loop=True)
    file.camera.start()
    file.take(slow_s=7.0)
    file.take()
    file.take()  # frame 3 at the latest is grabbed 7 s later
    until(lambda: file.camera.last_frame_uptime_s == 1007.0)
    assert file.camera.state(1011.0) == "online"
    assert file.bench.count("last_frame_timestamp_seconds") == 1.7e9  # where that clock stands
    assert file.take().captured_at.uptime_s == pytest.approx(1000.28)
    file.stop()


@pytest.mark.parametrize("slow_s", [0.0, 7.0])
def test_the_rate_of_a_file_without_pace_goes_by_its_own_time(
    tmp_path: Path, slow_s: float
) -> None:
    file = Unpaced(tmp_path, max_fps=5)
    file.camera.start()
    assert [file.take(slow_s).id for _ in range(2)] == [0, 3]
    until(lambda: file.camera.ended)
    assert file.bench.count("frames_captured_total") == 5
    assert file.bench.dropped("rate") == 3
    file.stop()


@pytest.mark.parametrize(("passed_s", "first_s"), [(0.0, 1000.32), (60.0, 1060.0)])
def test_a_file_without_pace_begins_anew_at_once_but_never_before_its_last_frame(
    tmp_path: Path, passed_s: float, first_s: float
) -> None:
    file = Unpaced(tmp_path)
    file.camera.start()
    for _ in range(5):
        file.take()
    until(lambda: file.camera.ended)
    file.camera.disable()
    assert file.camera.join(DEADLINE_S)
    file.clock.uptime += passed_s
    file.camera.enable()
    captured = [file.take().captured_at for _ in range(2)]
    expected_s = [first_s, first_s + 0.04]
    assert [at.uptime_s for at in captured] == pytest.approx(expected_s, abs=1e-6)
    assert captured[0].wall_s - 1.7e9 == pytest.approx(max(0.0, 0.32 - passed_s), abs=1e-3)
    file.stop()


def test_stop_counts_the_frame_of_a_file_that_waits_for_the_loop(tmp_path: Path) -> None:
    from test_file_source import make_video

    path = make_video(tmp_path / "clip.mp4", list(range(0, 480, 40)))
    metrics, slots = Metrics(), FrameSlots(["cam"])
    camera = real_camera(FileAddress(path, pace=False), slots["cam"], metrics)

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"rfdetr_edge_{name}", {"camera": "cam", **labels})

    camera.start()
    until(lambda: value("frames_captured_total") == 2)  # one in the slot, one behind it
    until(lambda: camera.state(1e9) == "online")  # however long the loop takes
    camera.stop()
    assert camera.join(DEADLINE_S)
    assert [frame.id for frame in slots.drain()] == [0]
    assert value("frames_captured_total") == 2
    assert value("frames_dropped_total", reason="shutdown") == 1


def test_the_synthetic_camera_stops_within_its_own_waits() -> None:
    metrics, slots = Metrics(), FrameSlots(["cam"])
    camera = real_camera(ShapesAddress(size=(64, 36), fps=0.01), slots["cam"], metrics)
    camera.start()
    first = slots.take(DEADLINE_S)
    assert first is not None
    camera.supervise(camera._clock.uptime_s() + 40)  # 100 s between frames is no hanging
    assert camera.abandoned == 0
    started = time.monotonic()
    camera.stop()
    assert camera.join(DEADLINE_S)
    assert time.monotonic() - started < 5
    assert slots.drain() == []


def test_can_be_started_again_and_goes_on_counting() -> None:
    metrics, slots = Metrics(), FrameSlots(["cam"])
    camera = real_camera(ShapesAddress(size=(64, 36), fps=200), slots["cam"], metrics)
    camera.start()
    assert slots.take(DEADLINE_S) is not None
    camera.stop()
    assert camera.join(DEADLINE_S)
    slots.drain()
    captured = metrics.registry.get_sample_value(
        "rfdetr_edge_frames_captured_total", {"camera": "cam"}
    )
    camera.start()
    again = slots.take(DEADLINE_S)
    camera.stop()
    assert camera.join(DEADLINE_S)
    assert again is not None
    assert captured is not None
    assert again.id >= captured
