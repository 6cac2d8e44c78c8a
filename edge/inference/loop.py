"""The inference loop: takes the newest frame of each camera in turn and hands on what was found."""

import logging
import queue
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from edge.clock import Clock
from edge.detections import Detections
from edge.frame import Frame, Image
from edge.inference.pace import Pace
from edge.inference.stage_times import StageTimes
from edge.metrics import Metrics

TURN_S = 0.25  # the longest an empty turn takes
HAND_ON_S = 1.0  # once told to stop, how long the events thread may take to accept the last result

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Inferred:
    """One frame and its detections, with when its inference started (``Clock.uptime_s``)."""

    frame: Frame
    detections: Detections
    started_uptime_s: float
    infer_s: float


class Infers(Protocol):
    """What the loop needs of an engine: up to ``depth`` frames in flight, harvested in order."""

    @property
    def depth(self) -> int: ...

    def submit(self, image: Image) -> None: ...

    def harvest(self) -> tuple[Detections, StageTimes]: ...


class TakesFrames(Protocol):
    """What the loop needs of the cameras' slots."""

    def take(self, timeout_s: float) -> Frame | None: ...

    def done(self, camera: str) -> None: ...


class TakesResults(Protocol):
    """What the loop needs of the queue to the events thread; raises ``queue.Full``."""

    def put(self, item: Inferred, /, block: bool = True, timeout: float | None = None) -> None: ...


class InferenceLoop:
    """Runs in the thread that built the engine; ``results`` is read by the events thread. With
    another engine it goes on in another thread, once it has ended in the first.

    While the device works on one frame, the next one is taken and submitted; a result is waited for
    where the device has enough to do, or where no frame waits. A frame older than its camera's
    ``max_age_s`` is dropped and counted, never inferred. While ``pace`` has it wait, frames are
    overwritten in their slots, and results are harvested. With a frame that does not reach
    ``results`` the loop is `done`; with every other the events thread is, once it is reported.
    ``turns`` counts every turn, empty ones too, and ``turned_uptime_s`` is when the last one ended:
    heartbeat and watchdog, in other threads, go by them.
    """

    def __init__(
        self,
        frames: TakesFrames,
        results: TakesResults,
        max_age_s: Mapping[str, float],
        metrics: Metrics,
        clock: Clock,
        pace: Pace | None = None,
    ) -> None:
        self._pace = pace or Pace(clock)
        self._frames, self._results = frames, results
        self._max_age_s, self._metrics, self._clock = max_age_s, metrics, clock
        self._in_flight: deque[tuple[Frame, float]] = deque()  # with when they were submitted
        self.turns = 0
        self.turned_uptime_s = clock.uptime_s()

    def run(self, engine: Infers, stop: threading.Event) -> None:
        """Turn until ``stop``; the frames in flight are finished and handed on."""
        self.turned_uptime_s = self._clock.uptime_s()  # loading before it was no turn
        while not stop.is_set() or self._in_flight:
            self.turn(engine, stop)
            self.turns += 1
            self.turned_uptime_s = self._clock.uptime_s()

    def turn(self, engine: Infers, stop: threading.Event) -> None:
        frame = None if stop.is_set() else self._take(stop)
        if frame is not None and self._fresh(frame):
            self._submit(engine, frame)
        if self._in_flight and (frame is None or len(self._in_flight) == engine.depth):
            self._harvest(engine, stop)

    def _take(self, stop: threading.Event) -> Frame | None:
        """The next frame, if the pace allows one; waits ``TURN_S`` at most, and only when idle."""
        wait_s = self._pace.wait_s()
        if not wait_s:
            return self._frames.take(0 if self._in_flight else TURN_S)
        if not self._in_flight:
            stop.wait(min(wait_s, TURN_S))
        return None

    def _fresh(self, frame: Frame) -> bool:
        age_s = self._clock.uptime_s() - frame.captured_at.uptime_s
        if age_s > self._max_age_s[frame.camera]:
            self._drop(frame, "stale")
            return False
        self._metrics.frame_age.labels(frame.camera).observe(max(age_s, 0.0))
        return True

    def _submit(self, engine: Infers, frame: Frame) -> None:
        now_s = self._clock.uptime_s()
        self._pace.took(now_s)
        self._in_flight.append((frame, now_s))
        with self._counting_losses():
            engine.submit(frame.image)

    def _harvest(self, engine: Infers, stop: threading.Event) -> None:
        with self._counting_losses():
            detections, times = engine.harvest()
        frame, started = self._in_flight.popleft()
        self._metrics.frames_inferred.labels(frame.camera).inc()
        for stage, seconds in times._asdict().items():
            self._metrics.stage.labels(stage).observe(seconds)
        self._hand_on(Inferred(frame, detections, started, sum(times)), stop)

    @contextmanager
    def _counting_losses(self) -> Iterator[None]:
        """What an engine that fails had in hand is lost, and counted."""
        try:
            yield
        except BaseException:
            while self._in_flight:
                frame, _ = self._in_flight.popleft()
                self._drop(frame, "error")
            raise

    def _drop(self, frame: Frame, reason: str) -> None:
        self._metrics.frames_dropped.labels(frame.camera, reason).inc()
        self._frames.done(frame.camera)

    def _hand_on(self, inferred: Inferred, stop: threading.Event) -> None:
        """The queue holds one: a slow events thread slows the loop, it loses no inferred frame.

        One that has died would hold the loop for ever: that ends with ``stop``.
        """
        while True:
            told_to_stop = stop.is_set()
            try:
                self._results.put(inferred, timeout=HAND_ON_S if told_to_stop else TURN_S)
                return
            except queue.Full:
                if told_to_stop:
                    log.error("the last inferred frame could not be handed on")
                    self._frames.done(inferred.frame.camera)
                    return
