"""When the frames of a source that runs on a time of its own were captured."""

import math

from edge.clock import Timestamp


class OwnTime:
    """Capture times that owe nothing to how fast a source is read; `Camera` holds its lock.

    The first frame of an opening was captured when it was taken, each later one as much after it as
    the source says, on both clocks. Openings follow each other: none begins before the last frame
    of those before it, which may be ahead of the clock.
    """

    def __init__(self) -> None:
        self._first: Timestamp | None = None  # of this opening
        self._last_s = -math.inf  # uptime

    def opening(self) -> None:
        """The source begins anew: its next frame is a first one."""
        self._first = None

    def captured_at(self, taken_at: Timestamp, own_s: float | None) -> Timestamp:
        """Of a frame ``own_s`` after the opening's first; None: as it was taken, a live source."""
        if own_s is None:
            return taken_at
        if self._first is None:
            self._first = _later(taken_at, max(0.0, self._last_s - taken_at.uptime_s))
        captured_at = _later(self._first, own_s)
        self._last_s = captured_at.uptime_s
        return captured_at


def _later(moment: Timestamp, by_s: float) -> Timestamp:
    return Timestamp(moment.wall_s + by_s, moment.uptime_s + by_s, moment.synced)
