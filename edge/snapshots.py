"""Annotated pictures for subscribers: when one is due, and a thread that makes it."""

import math
import threading
from collections.abc import Callable, Iterable
from typing import Literal

from edge.config import CameraSettings
from edge.picture import Result

MAX_WIDTH = 1280  # pixels: enough to see what happened, 100 to 200 KB
EVENTS_APART_S = 1.0
TURN_S = 0.25  # the longest an empty turn takes


class SnapshotSchedule:
    """When one camera's next picture is due, by the capture times (uptime, seconds) of its frames.

    With ``"events"`` that is the first frame with a ``new`` event since the last picture, but not
    within a second of that: the picture of an event in between comes when the second is over. With
    a period in seconds it is the first frame, and then the first one in each period.
    """

    def __init__(self, setting: Literal["events"] | float) -> None:
        self.setting = setting
        self._period_s = None if isinstance(setting, str) else setting
        self._due_s = -math.inf
        self._event_waits = False

    def due(self, captured_s: float, new_event: bool) -> bool:
        """Whether this frame is to be pictured; to be asked of every reported frame, in order."""
        self._event_waits |= new_event
        if captured_s < self._due_s or (self._period_s is None and not self._event_waits):
            return False
        self._event_waits = False
        if self._period_s is None:
            self._due_s = captured_s + EVENTS_APART_S
        elif math.isinf(self._due_s):
            self._due_s = captured_s + self._period_s
        else:  # on the beat, however late the frame: else every period would be longer
            periods = (captured_s - self._due_s) // self._period_s + 1
            self._due_s += periods * self._period_s
        return True


class Snapshots:
    """``run`` belongs to a thread of its own, everything else to the events thread.

    A picture takes tens of milliseconds, which frames and events do not wait for: of each camera
    one result at most waits, and the newest wins. ``publish(camera, jpeg)`` is called in ``run``.
    """

    def __init__(self, publish: Callable[[str, bytes], object]) -> None:
        self._schedules: dict[str, SnapshotSchedule] = {}
        self._publish = publish
        self._changed = threading.Condition()  # guards the next two
        self._waiting: dict[str, Result] = {}
        self._drawing: str | None = None  # the camera whose picture is being made

    def follow(self, cameras: Iterable[CameraSettings]) -> None:
        """These are the cameras from now on, with when each is to be pictured."""
        before, self._schedules = self._schedules, {}
        for camera in cameras:
            known = before.get(camera.id)
            if known is not None and known.setting == camera.snapshot:
                self._schedules[camera.id] = known
            elif camera.snapshot != "none":
                self._schedules[camera.id] = SnapshotSchedule(camera.snapshot)

    def offer(self, result: Result, new_event: bool) -> None:
        """A reported frame; ``new_event``: it brought a ``new`` one. Keeps a reference, if any."""
        camera = result.frame.camera
        schedule = self._schedules.get(camera)
        if schedule is None or not schedule.due(result.frame.captured_at.uptime_s, new_event):
            return
        with self._changed:
            self._waiting[camera] = result
            self._changed.notify()

    def clear(self, camera: str) -> None:
        """The camera was switched off: what it saw before is published no more."""
        with self._changed:
            self._waiting.pop(camera, None)
            if self._drawing == camera:
                self._drawing = None

    def run(self, stop: threading.Event) -> None:
        """Turn until ``stop``; what waits then is not made any more."""
        while not stop.is_set():
            self.turn(TURN_S)

    def turn(self, timeout_s: float) -> None:
        """Make and publish the picture that has waited longest, if one comes in ``timeout_s``."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting, timeout_s):
                return
            camera = next(iter(self._waiting))
            result = self._waiting.pop(camera)
            self._drawing = camera
        jpeg = result.jpeg(MAX_WIDTH)
        with self._changed:
            still_wanted = self._drawing == camera
            self._drawing = None
        if still_wanted:
            self._publish(camera, jpeg)
