"""How often something happens, over the last few seconds."""

from collections import deque

WINDOW_S = 5.0


class RateMeter:
    """Events per second over a sliding window. Written by one thread, read by any."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._times: deque[float] = deque()

    def count(self, now_s: float) -> None:
        self._times.append(now_s)
        while self._times[0] <= now_s - self._window_s:
            self._times.popleft()

    def per_second(self, now_s: float) -> float:
        """Events per second up to ``now_s``; over the time since the first while that is short."""
        recent = [t for t in tuple(self._times) if t > now_s - self._window_s]
        if len(recent) < 2:
            return len(recent) / self._window_s
        # From the first to the last event there is one interval less than there are events.
        span_s = max(now_s - recent[0], recent[-1] - recent[0])
        return (len(recent) - 1) / span_s if span_s > 0 else 0.0
