"""How many frames a second are inferred at most, over all cameras."""

from edge.clock import Clock


class Pace:
    """A cap that any thread may set; the rest belongs to the thread that infers.

    Frames are spread evenly: after one was taken, the next may be once the interval is over. What
    came late is made up for by one interval at most, so that cameras whose frames come on a grid
    of their own still reach the cap, and no burst follows a pause.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._interval_s = 0.0
        self._taken_s = float("-inf")  # when the last frame was taken, had it been in time
        self.taken = 0  # frames so far, for whoever measures the rate

    @property
    def cap_per_s(self) -> float | None:
        """Frames a second, or None where there is no cap."""
        return 1 / self._interval_s if self._interval_s else None

    def limit(self, frames_per_s: float | None) -> None:
        """Set the cap (above 0), or lift it. It holds from the next frame on."""
        self._interval_s = 1 / frames_per_s if frames_per_s else 0.0

    def wait_s(self) -> float:
        """How long the next frame has to wait; 0 where it may be taken now."""
        interval_s = self._interval_s
        if not interval_s:
            return 0.0
        return max(0.0, self._taken_s + interval_s - self._clock.uptime_s())

    def took(self, now_s: float) -> None:
        """A frame goes into inference at ``now_s`` (``Clock.uptime_s``)."""
        self.taken += 1
        interval_s = self._interval_s
        self._taken_s = max(self._taken_s + interval_s, now_s - interval_s)
