"""When to take the next frame, when to skip one, and when to try again."""

import random
import time
from collections.abc import Callable

from edge.capture.source import Wait


class Pace:
    """Keeps a recorded or computed source at its own speed."""

    def __init__(self, wait: Wait, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wait = wait
        self._monotonic = monotonic
        self._due_s: float | None = None

    def step(self, gap_s: float) -> None:
        """Wait until ``gap_s`` after the last frame was due; the first is due at once.

        A source that fell behind slips: it goes on from now rather than catch up in a burst.
        """
        now = self._monotonic()
        due = now if self._due_s is None else self._due_s + gap_s
        self._due_s = max(due, now)
        if due > now:
            self._wait(due - now)


class RateCap:
    """Spreads at most ``max_fps`` frames a second evenly over those that a camera delivers."""

    def __init__(self, max_fps: float) -> None:
        self._interval_s = 1 / max_fps
        self._due_s: float | None = None

    def allows(self, taken_s: float) -> bool:
        """Whether the frame taken at ``taken_s`` is within the rate."""
        if self._due_s is None:
            self._due_s = taken_s
        # A quarter of the interval of grace: a camera as fast as the cap jitters around its beat.
        if taken_s < self._due_s - self._interval_s / 4:
            return False
        # On the beat where possible, so that the average holds; after a pause no burst makes up.
        self._due_s = max(self._due_s + self._interval_s, taken_s + self._interval_s / 2)
        return True


class Backoff:
    """How long to wait before each further attempt: doubling, bounded, and never in step."""

    def __init__(
        self, rng: random.Random | None = None, first_s: float = 1.0, most_s: float = 60.0
    ) -> None:
        self._random = rng or random.Random()
        self._first_s = first_s
        self._most_s = most_s
        self._attempts = 0

    def next_s(self) -> float:
        """The next delay: 1, 2, 4 … 60 s, each 20 % up or down, so that cameras spread out."""
        delay = min(self._most_s, self._first_s * 2.0 ** min(self._attempts, 32))
        self._attempts += 1
        return delay * self._random.uniform(0.8, 1.2)

    def reset(self) -> None:
        self._attempts = 0
