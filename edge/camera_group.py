"""The cameras of the configuration, as they come, change and go while the daemon runs."""

import logging
import math
from collections.abc import Callable, Sequence

from edge.capture.address import FileAddress
from edge.capture.camera import Camera
from edge.capture.slot import FrameSlots
from edge.clock import Clock
from edge.config import CameraSettings
from edge.metrics import Metrics

MOST_ABANDONED = 4  # capture threads that hang, over all cameras

log = logging.getLogger(__name__)


class CapturesStuck(Exception):  # noqa: N818 - says what is the matter
    """So many capture threads hang in calls that do not return that only a new process helps."""

    exit_code = 1


def max_age_s(camera: CameraSettings) -> float:
    """The age from which a frame is not inferred; a file read without pace has all the time."""
    unpaced = isinstance(camera.source, FileAddress) and not camera.source.pace
    return math.inf if unpaced else camera.max_frame_age_ms / 1000


class CameraGroup:
    """Owned by the main thread; ``current`` and ``slots`` may be used by any.

    ``current`` are the configured cameras in the configuration's order: a tuple that is exchanged,
    never changed. ``max_age_s`` is by camera. A camera that has left stays known, with its slot and
    its books: it may come back, and then its frame ids go on.
    """

    def __init__(
        self,
        settings: Sequence[CameraSettings],
        metrics: Metrics,
        clock: Clock,
        throttled: Callable[[], str] = lambda: "",
    ) -> None:
        """``throttled``: see `Camera`."""
        self._metrics, self._clock, self._throttled = metrics, clock, throttled
        self._known: dict[str, Camera] = {}
        self._leaving: list[Camera] = []  # whose last frame may still be on its way
        self.slots = FrameSlots()
        self.max_age_s: dict[str, float] = {}
        self.current: tuple[Camera, ...] = ()
        self.apply(settings)

    def apply(self, settings: Sequence[CameraSettings]) -> None:
        """From now on these are the cameras. Those that are new wait for `start`."""
        current = []
        for each in settings:
            self.max_age_s[each.id] = max_age_s(each)
            camera = self._known.get(each.id)
            if camera is None:
                slot = self.slots.add(each.id)
                camera = self._known[each.id] = Camera(
                    each, slot, self._metrics, self._clock, throttled=self._throttled
                )
            elif camera.settings != each:
                camera.change(each)
            current.append(camera)
        gone = [camera for camera in self.current if camera not in current]
        self.current = tuple(current)
        for camera in gone:
            camera.retire()
        self._leaving = [camera for camera in [*self._leaving, *gone] if camera not in current]

    def start(self) -> None:
        """Start those that are not started yet."""
        for camera in self.current:
            if not camera.started:
                self._metrics.add_camera(camera.id)
                camera.start()

    def supervise(self) -> None:
        """Every second or so. Raises ``CapturesStuck`` where only a new process helps."""
        for camera in self._known.values():
            camera.supervise(self._clock.uptime_s())
        if sum(camera.abandoned for camera in self._known.values()) >= MOST_ABANDONED:
            raise CapturesStuck(f"{MOST_ABANDONED} capture threads hang: only a new process helps")
        for camera in [each for each in self._leaving if self.slots.all_done(each.id)]:
            self._leaving.remove(camera)
            self._metrics.remove_camera(camera.id)

    @property
    def ended(self) -> bool:
        """Every source was a file, and the last frame of each is reported."""
        return all(camera.ended and self.slots.all_done(camera.id) for camera in self.current)

    def stop(self) -> None:
        for camera in self.current:
            camera.stop()

    def join(self, timeout_s: float) -> bool:
        """Wait for the threads of all of them; False where one hangs in a call."""
        deadline_s = self._clock.uptime_s() + timeout_s
        joined = [
            camera.join(max(0.0, deadline_s - self._clock.uptime_s()))
            for camera in self._known.values()
        ]
        return all(joined) and not any(camera.abandoned for camera in self._known.values())
