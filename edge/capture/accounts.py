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
        self._camera, self._metrics = camera, metrics
        self.next_id = 0
        self.last_frame_s: float | None = None
        self.first_frame_s: float | None = None
        self._in_hand = False  # the newest frame is neither handed on nor dropped yet
        self._failed = False

    def opening(self) -> None:
        """An attempt to open; after a failure it counts as a reconnect."""
        self.first_frame_s = None
        if self._failed:
            self._metrics.camera_reconnects.labels(self._camera).inc()

    def decoded_by(self, decoder: str) -> None:
        """The source that was opened has its pictures from this decoder."""
        self._metrics.camera_info.remove_by_labels({"camera": self._camera})
        self._metrics.camera_info.labels(self._camera, decoder).set(1)

    def captured(self, taken_at: Timestamp) -> int:
        """Count a frame before anything can happen to it; returns its id."""
        frame_id, self.next_id = self.next_id, self.next_id + 1
        self._in_hand = True
        self.last_frame_s = taken_at.uptime_s
        if self.first_frame_s is None:
            self.first_frame_s = taken_at.uptime_s
        self._metrics.frames_captured.labels(self._camera).inc()
        self._set_up(True)
        self._metrics.last_frame_timestamp.labels(self._camera).set(taken_at.wall_s)
        return frame_id

    def handed_on(self, *, overwrote: bool) -> None:
        """The frame in hand is in the slot; ``overwrote``: one that nobody saw was there."""
        self._in_hand = False
        if overwrote:
            self._drop("overwritten")

    def dropped(self, reason: str) -> None:
        """The frame in hand goes nowhere; nothing happens without one."""
        if self._in_hand:
            self._in_hand = False
            self._drop(reason)

    def failed(self) -> None:
        """The source is lost, and with it a frame that was still in hand."""
        self.dropped("error")
        self._failed = True
        self._set_up(False)

    def silent(self) -> None:
        """No frame comes at the moment, wanted or not."""
        self._set_up(False)

    def switched_off(self, *, frame_waits: bool) -> None:
        """No frame is wanted, neither the one in hand nor one that waits in the slot.

        The camera begins anew after that: opening it is no reconnect, whatever failed before.
        """
        self.dropped("disabled")
        if frame_waits:
            self._drop("disabled")
        self._failed = False
        self.first_frame_s = self.last_frame_s = None
        self._set_up(False)

    def steady_s(self) -> float:
        """For how long frames have come since the camera was opened."""
        if self.first_frame_s is None or self.last_frame_s is None:
            return 0.0
        return self.last_frame_s - self.first_frame_s

    def _drop(self, reason: str) -> None:
        self._metrics.frames_dropped.labels(self._camera, reason).inc()

    def _set_up(self, up: bool) -> None:
        self._metrics.camera_up.labels(self._camera).set(up)
