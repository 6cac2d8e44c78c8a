"""The inference loop: takes the newest frame of each camera in turn and hands on what was found."""

import logging
import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from edge.clock import Clock
from edge.detections import Detections
from edge.frame import Frame, Image
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
    """What the loop needs of an engine."""

    def infer(self, image: Image) -> tuple[Detections, StageTimes]: ...


class TakesFrames(Protocol):
    """What the loop needs of the cameras' slots."""

    def take(self, timeout_s: float) -> Frame | None: ...


class InferenceLoop:
    """Runs in the thread that built the engine; ``results`` is read by the events thread.

    A frame older than its camera's ``max_age_s`` is dropped and counted, never inferred. ``turns``
    counts every turn, empty ones too, and ``turned_uptime_s`` is when the last one ended: heartbeat
    and watchdog, in other threads, go by them.
    """

    def __init__(
        self,
        frames: TakesFrames,
        results: "queue.Queue[Inferred]",
        max_age_s: Mapping[str, float],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._frames, self._results = frames, results
        self._max_age_s, self._metrics, self._clock = max_age_s, metrics, clock
        self.turns = 0
        self.turned_uptime_s = clock.uptime_s()

    def run(self, engine: Infers, stop: threading.Event) -> None:
        """Turn until ``stop``; the frame in hand is finished and handed on."""
        self.turned_uptime_s = self._clock.uptime_s()  # loading before it was no turn
        while not stop.is_set():
            self.turn(engine, stop)
            self.turns += 1
            self.turned_uptime_s = self._clock.uptime_s()

    def turn(self, engine: Infers, stop: threading.Event) -> None:
        frame = self._frames.take(TURN_S)
        if frame is None:
            return
        started = self._clock.uptime_s()
        age_s = started - frame.captured_at.uptime_s
        if age_s > self._max_age_s[frame.camera]:
            self._metrics.frames_dropped.labels(frame.camera, "stale").inc()
            return
        self._metrics.frame_age.labels(frame.camera).observe(max(age_s, 0.0))
        try:
            detections, times = engine.infer(frame.image)
        except BaseException:
            self._metrics.frames_dropped.labels(frame.camera, "error").inc()
            raise
        self._metrics.frames_inferred.labels(frame.camera).inc()
        for stage, seconds in times._asdict().items():
            self._metrics.stage.labels(stage).observe(seconds)
        self._hand_on(Inferred(frame, detections, started, sum(times)), stop)

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
                    return
