"""Dropped events in the log: not one by one, and not silently."""

import logging
import math
import threading
from collections import Counter

from edge.clock import Clock

log = logging.getLogger(__name__)

_TOLD_EVERY_S = 60.0
_WHY = {
    "overflow": "the spool is full (spool.max_bytes)",
    "age": "the broker was away for too long (spool.max_age_s)",
    "memory": "memory is full of events that are on no disk",
    "corrupt": "the spool is damaged",
}


class DropLog:
    """Tells of dropped events by reason: of the first at once, of the others once a minute.

    Any thread may call it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._untold: Counter[str] = Counter()
        self._told_s: dict[str, float] = {}

    def add(self, reason: str, count: int) -> None:
        with self._lock:
            self._untold[reason] += count
        self.tell()

    def tell(self, *, at_once: bool = False) -> None:
        """Tell what is due, or with ``at_once`` all that is untold."""
        now_s = self._clock.uptime_s()
        with self._lock:
            due = {
                reason: count
                for reason, count in self._untold.items()
                if at_once or now_s >= self._told_s.get(reason, -math.inf) + _TOLD_EVERY_S
            }
            for reason in due:
                del self._untold[reason]
                self._told_s[reason] = now_s
        for reason, count in due.items():
            what = "1 event was" if count == 1 else f"{count} events were"
            log.warning("%s dropped since %s", what, _WHY[reason])
