"""A camera on sources that do what a script says, for faults that no real part shows on demand."""

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np

from edge.capture.address import ShapesAddress
from edge.capture.camera import Camera
from edge.capture.slot import FrameSlots
from edge.capture.source import DamagedFrame, StreamInfo, Wait
from edge.capture.timing import Backoff
from edge.clock import Clock, Timestamp
from edge.config import CameraSettings
from edge.frame import Frame, Image
from edge.metrics import DROP_REASONS, Metrics

DEADLINE_S = 20.0


def until(condition: Callable[[], object]) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.002)


class ManualClock(Clock):
    """Uptime that a test sets."""

    def __init__(self) -> None:
        super().__init__(lambda: True)
        self.uptime = 1000.0

    def uptime_s(self) -> float:
        return self.uptime

    def now(self) -> Timestamp:
        return Timestamp(1.7e9, self.uptime, True)


class ScriptedSource:
    """Does what its script says, one step a grab: an exception to raise, a function, or a frame."""

    decoder = "script"
    fallen_back = ""
    description = StreamInfo("script", (4, 3), 10.0)

    def __init__(
        self, script: Iterator[object], opening: Callable[[], object] = lambda: None
    ) -> None:
        self._script, self._opening = script, opening
        self._step: object = None
        self.closed_by: str | None = None

    def open(self) -> None:
        self._opening()

    def grab(self) -> None:
        self._step = next(self._script)
        if callable(self._step):
            self._step = self._step()
        if isinstance(self._step, Exception) and not isinstance(self._step, DamagedFrame):
            raise self._step

    def retrieve(self) -> Image:
        if isinstance(self._step, DamagedFrame):
            raise self._step
        return np.full((3, 4, 3), 255, np.uint8)

    def close(self) -> None:
        self.closed_by = threading.current_thread().name


class Bench:
    """A camera on scripted sources, one a time it opens; the last one repeats."""

    def __init__(
        self,
        *scripts: Callable[[], Iterator[object]],
        clock: Clock | None = None,
        opening: Callable[[], object] = lambda: None,
        backoff: Backoff | None = None,
        **settings: object,
    ) -> None:
        self._opening = opening
        self.metrics = Metrics()
        self.slots = FrameSlots(["cam"])
        self.sources: list[ScriptedSource] = []
        self.first_ids: list[int] = []
        self._scripts = list(scripts)
        source = settings.pop("source", ShapesAddress())
        self.camera = Camera(
            CameraSettings.model_construct(id="cam", source=source, **camera_defaults(settings)),
            self.slots["cam"],
            self.metrics,
            clock=clock,
            opener=self._open,
            backoff=backoff or Backoff(first_s=0.001, most_s=0.002),
        )

    def _open(self, settings: CameraSettings, next_frame_id: int, wait: Wait) -> ScriptedSource:
        self.first_ids.append(next_frame_id)
        script = self._scripts[min(len(self.sources), len(self._scripts) - 1)]
        self.sources.append(ScriptedSource(script(), self._opening))
        return self.sources[-1]

    def count(self, name: str, **labels: str) -> int:
        value = self.metrics.registry.get_sample_value(
            f"rfdetr_edge_{name}", {"camera": "cam", **labels}
        )
        assert value is not None
        return int(value)

    def dropped(self, reason: str) -> int:
        return self.count("frames_dropped_total", reason=reason)

    def all_dropped(self) -> int:
        return sum(self.dropped(reason) for reason in DROP_REASONS)

    def stop(self) -> list[Frame]:
        """Stop, and return what waits in the slot."""
        self.camera.stop()
        assert self.camera.join(DEADLINE_S)
        return self.slots.drain()


def camera_defaults(settings: dict[str, object]) -> dict[str, object]:
    return {"max_fps": None, "ignore": [], "open_timeout_s": 5.0, "read_timeout_s": 3.0, **settings}


def frames(number: int, then: object = None) -> Callable[[], Iterator[object]]:
    """A script: so many frames, then an exception, or silence until the test process ends."""

    def script() -> Iterator[object]:
        for _ in range(number):
            yield "frame"
        while True:
            yield then if then is not None else threading.Event().wait

    return script


def gated(gate: threading.Semaphore) -> Callable[[], Iterator[object]]:
    """A script: one frame each time the gate is released."""

    def script() -> Iterator[object]:
        while True:
            yield gate.acquire

    return script
