"""Cameras on the one inference loop: what each gets, how old its frames are, and how many fit."""

import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from edge.bench.scene import FPS
from edge.bench.subject import NODE, SESSION, Subject
from edge.camera_group import max_age_s
from edge.camera_report import Desk
from edge.capture.camera import Camera
from edge.capture.slot import FrameSlots
from edge.capture.timing import Pace
from edge.clock import Clock
from edge.config import CameraSettings
from edge.frame import Frame, Image
from edge.inference.loop import InferenceLoop, Inferred, TakesFrames
from edge.metrics import Metrics
from edge.outlets import Outlets
from edge.reporter import Reporter
from edge.scope import Scope

JOIN_S = 10.0
WARM_UP = 3


@dataclass(frozen=True, slots=True)
class Flow:
    """One camera whose next frame always waits: ``network_share`` of the time its forward runs."""

    frames_per_s: float
    network_share: float


@dataclass(frozen=True, slots=True)
class Cameras:
    """``cameras`` at 30 frames/s each: what was inferred of them, in all and of the one that got
    least and most, and the age of a frame when its inference began.
    """

    cameras: int
    frames_per_s: float
    least_fps: float
    most_fps: float
    age_p50_ms: float
    age_p95_ms: float


def measure_flow(subject: Subject, frames: Sequence[Image], turns: int) -> Flow:
    """The daemon's loop and events thread as fast as they go."""
    stop = threading.Event()
    camera = subject.config.cameras[0].id
    numbers = iter(range(turns + WARM_UP + 1))

    def take(_: float) -> Frame | None:
        number = next(numbers, None)
        if number is None:
            return None
        image = frames[number % len(frames)]
        return Frame(camera, number, subject.clock.now(), image)

    taken = _Taken(take, subject.clock, stop, WARM_UP, turns)
    metrics, end_s = _run(subject, subject.config.cameras[:1], taken, FrameSlots([camera]), stop)
    forward_s = metrics.registry.get_sample_value(
        "rfdetr_edge_stage_seconds_sum", {"stage": "forward"}
    )
    return Flow(turns / taken.wall_s, (forward_s or 0.0) / (end_s - taken.seen[0].at_s))


def measure_cameras(subject: Subject, frames: Sequence[Image], cameras: int, turns: int) -> Cameras:
    """The daemon's slots, inference loop and events thread; feeders put frames decoded before.

    At least ``turns`` frames are counted, as many for each camera where the loop is fair.
    """
    settings = subject.config.cameras[:cameras]
    slots = FrameSlots([camera.id for camera in settings])
    stop = threading.Event()
    # One round over the cameras to get going, then whole rounds only.
    wanted = cameras * -(-max(turns, 2) // cameras)
    taken = _Taken(slots.take, subject.clock, stop, cameras, wanted)
    feeders = [
        threading.Thread(
            target=_feed, args=(slots, camera.id, frames, subject.clock, stop), daemon=True
        )
        for camera in settings
    ]
    with _running(feeders, stop):
        _run(subject, settings, taken, slots, stop)
    counts = Counter({camera.id: 0 for camera in settings})  # one never served counts, too
    counts.update(seen.camera for seen in taken.window)
    ages = [1000 * seen.age_s for seen in taken.window]
    p50, p95 = (float(value) for value in np.percentile(ages, (50, 95)))
    least, most = (pick(counts.values()) / taken.wall_s for pick in (min, max))
    return Cameras(cameras, wanted / taken.wall_s, least, most, p50, p95)


def _run(
    subject: Subject,
    settings: Sequence[CameraSettings],
    taken: TakesFrames,
    slots: FrameSlots,
    stop: threading.Event,
) -> tuple[Metrics, float]:
    """The loop in this thread and the events thread beside it, until ``stop``; returns the metrics
    of the run and when the loop ended.
    """
    metrics, clock = Metrics(), subject.clock
    results: queue.Queue[Inferred | Scope] = queue.Queue(maxsize=1)
    ages = {camera.id: max_age_s(camera) for camera in settings}
    loop = InferenceLoop(taken, results, ages, metrics, clock)
    outlets = Outlets.of(subject.config, SESSION, metrics, clock)
    unwatched = threading.Event()  # the cameras are not started, which is no fault of theirs
    unwatched.set()
    scope = Scope(
        Desk.of(outlets, subject.config, SESSION, subject.checkpoint),
        [Camera(camera, slots[camera.id], metrics, clock) for camera in settings],
        {"node": NODE},
    )
    reporter = Reporter(scope, results, slots, lambda: loop.turns, unwatched)
    stop_events = threading.Event()
    events = threading.Thread(target=reporter.run, args=(stop_events,), daemon=True)
    spool = threading.Thread(target=outlets.delivery.run, daemon=True)
    spool.start()
    try:
        with _running([events], stop_events):
            loop.run(subject.in_loop(), stop)
            end_s = clock.uptime_s()
    finally:
        outlets.delivery.stop(0)
    return metrics, end_s


@contextmanager
def _running(threads: Sequence[threading.Thread], stop: threading.Event) -> Iterator[None]:
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(JOIN_S)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A frame as the loop took it."""

    at_s: float
    camera: str
    age_s: float


class _Taken:
    """Frames on their way to the loop, noted; ends it once there are enough.

    ``skipped`` frames are not counted, nor is the last one, which only ends the time.
    """

    def __init__(
        self,
        take: Callable[[float], Frame | None],
        clock: Clock,
        stop: threading.Event,
        skipped: int,
        wanted: int,
    ) -> None:
        self._take, self._clock, self._stop = take, clock, stop
        self._first, self._last = skipped, skipped + wanted
        self.seen: list[_Seen] = []

    def take(self, timeout_s: float) -> Frame | None:
        frame = self._take(timeout_s)
        if frame is not None:
            now_s = self._clock.uptime_s()
            self.seen.append(_Seen(now_s, frame.camera, now_s - frame.captured_at.uptime_s))
            if len(self.seen) > self._last:
                self._stop.set()
        return frame

    def done(self, camera: str) -> None:
        """Nothing here waits for a last frame."""

    @property
    def window(self) -> list[_Seen]:
        return self.seen[self._first : self._last]

    @property
    def wall_s(self) -> float:
        return self.seen[self._last].at_s - self.seen[self._first].at_s


def _feed(
    slots: FrameSlots, camera: str, frames: Sequence[Image], clock: Clock, stop: threading.Event
) -> None:
    """A camera whose frames are decoded already: 30 a second into its slot."""
    pace = Pace(stop.wait)
    number = 0
    while not stop.is_set():
        pace.step(1 / FPS)
        slots[camera].put(Frame(camera, number, clock.now(), frames[number % len(frames)]))
        number += 1
