"""The books of one camera: each captured frame ends in exactly one place."""

from edge.clock import Timestamp
from edge.metrics import Metrics


class FrameAccounts:
    """Counts one camera's frames; `Camera` calls it under its lock only.

    ``next_id`` numbers the captured frames from 0; ``last_frame_s`` and ``first_frame_s`` are the
    uptime of the newest frame, and of the first since the camera was opened; both are None while
    it is switched off.
    """

    def __init__(self, camera: str, metrics: Metrics) -> None:
        metrics.add_camera(camera)
        self._camera = camera
        self._dropped = metrics.frames_dropped
        self._captured = metrics.frames_captured.labels(camera)
        self._up = metrics.camera_up.labels(camera)
        self._reconnects = metrics.camera_reconnects.labels(camera)
        self._last_frame_timestamp = metrics.last_frame_timestamp.labels(camera)
        self.next_id = 0
        self.last_frame_s: float | None = None
        self.first_frame_s: float | None = None
        self._in_hand = False  # the newest frame is neither handed on nor dropped yet
        self._failed = False

    def opening(self) -> None:
        """An attempt to open; after a failure it counts as a reconnect."""
        self.first_frame_s = None
        if self._failed:
            self._reconnects.inc()

    def captured(self, taken_at: Timestamp) -> int:
        """Count a frame before anything can happen to it; returns its id."""
        frame_id, self.next_id = self.next_id, self.next_id + 1
        self._in_hand = True
        self.last_frame_s = taken_at.uptime_s
        if self.first_frame_s is None:
            self.first_frame_s = taken_at.uptime_s
        self._captured.inc()
        self._up.set(1)
        self._last_frame_timestamp.set(taken_at.wall_s)
        return frame_id

    def handed_on(self, *, overwrote: bool) -> None:
        """The frame in hand is in the slot; ``overwrote``: one that nobody saw was there."""
        self._in_hand = False
        if overwrote:
            self._dropped.labels(self._camera, "overwritten").inc()

    def dropped(self, reason: str) -> None:
        """The frame in hand goes nowhere; nothing happens without one."""
        if self._in_hand:
            self._in_hand = False
            self._dropped.labels(self._camera, reason).inc()

    def failed(self) -> None:
        """The source is lost, and with it a frame that was still in hand."""
        self.dropped("error")
        self._failed = True
        self._up.set(0)

    def silent(self) -> None:
        """No frame comes at the moment, wanted or not."""
        self._up.set(0)

    def switched_off(self, *, frame_waits: bool) -> None:
        """No frame is wanted, neither the one in hand nor one that waits in the slot.

        The camera begins anew after that: opening it is no reconnect, whatever failed before.
        """
        self.dropped("disabled")
        if frame_waits:
            self._dropped.labels(self._camera, "disabled").inc()
        self._failed = False
        self.first_frame_s = self.last_frame_s = None
        self._up.set(0)

    def steady_s(self) -> float:
        """For how long frames have come since the camera was opened."""
        if self.first_frame_s is None or self.last_frame_s is None:
            return 0.0
        return self.last_frame_s - self.first_frame_s
