"""A capture thread's time in charge of its camera, and how it is seen from outside."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edge.capture.source import KEYFRAME_WAIT_S
from edge.clock import Clock
from edge.config import CameraSettings

STUCK_S = 30.0  # a call into a source that takes longer never returns, as far as we care


class TenureOver(Exception):  # noqa: N818
    """Ends a capture thread that is in charge no more: another took its place, or none is to."""


def stuck_after_s(settings: CameraSettings) -> float:
    """After how long one call into the source never returns: longer than any that is healthy.

    Opening applies its timeout to the connection and again to the stream's description; waiting for
    a first picture ends `KEYFRAME_WAIT_S` or one read timeout later.
    """
    opening_s = 2 * settings.open_timeout_s
    reading_s = max(KEYFRAME_WAIT_S, settings.read_timeout_s) + settings.read_timeout_s
    return max(STUCK_S, opening_s + 2, reading_s + 2)


class Tenure:
    """One capture thread; ``run`` is called in it with this object.

    ``stop``: it is to end. ``over``: its work counts no more. ``abandoned``: it hangs in a call
    into its source, and nobody waits for it. All three belong to the main thread. The capture
    thread's own are ``busy_since_s``, the uptime when such a call began (None outside of them), and
    ``waits_for_slot``: it has a frame in hand, and time.
    """

    def __init__(
        self, camera: str, run: Callable[["Tenure"], None], clock: Clock, lock: threading.Lock
    ) -> None:
        """``lock`` is the camera's, which also guards ``over``."""
        self._clock, self._lock = clock, lock
        self.stop = threading.Event()
        self.over = False
        self.abandoned = False
        self.busy_since_s: float | None = None
        self.waits_for_slot = False
        self.thread = threading.Thread(
            target=run, args=(self,), name=f"capture-{camera}", daemon=True
        )

    @contextmanager
    def in_charge(self) -> Iterator[None]:
        """What others see of the camera changes in here only. Raises `TenureOver` where it is."""
        with self._lock:
            if self.over:
                raise TenureOver
            yield

    def enter_call(self) -> None:
        """Note that a call into the source begins."""
        self.busy_since_s = self._clock.uptime_s()

    def pause(self, seconds: float) -> None:
        """Wait on purpose, which is no hanging; also what a paced source waits with."""
        self.busy_since_s = None
        self.stop.wait(seconds)
        self.enter_call()

    def hangs(self, now_uptime_s: float, stuck_s: float) -> bool:
        """Whether a call into the source has taken longer than any that returns."""
        since_s = self.busy_since_s
        return since_s is not None and now_uptime_s - since_s > stuck_s
