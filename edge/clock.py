"""Wall time for people, boot time for intervals, and whether the wall clock can be believed."""

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone

_STA_UNSYNC = 0x0040  # linux/timex.h
_LIBC = ctypes.CDLL(None)
_TIMEX_BYTES, _TIMEX_STATUS_OFFSET = 208, 40  # struct timex on 64-bit Linux


@dataclass(frozen=True, slots=True)
class Timestamp:
    """One moment on two clocks: Unix seconds, and seconds since boot (suspend included)."""

    wall_s: float
    uptime_s: float
    synced: bool

    def rfc3339(self) -> str:
        """The wall time as RFC 3339 UTC with milliseconds, e.g. ``2026-11-22T06:31:14.218Z``."""
        text = datetime.fromtimestamp(self.wall_s, timezone.utc).isoformat(timespec="milliseconds")
        return text.replace("+00:00", "Z")


def kernel_clock_synced() -> bool:
    """True where the kernel says that something (NTP, PTP, GPS) keeps its clock right."""
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes = 0: read only
    if _LIBC.adjtimex(timex) < 0:
        return False
    status = ctypes.c_int.from_buffer(timex, _TIMEX_STATUS_OFFSET).value
    return not status & _STA_UNSYNC


class Clock:
    """Reads the clocks; a test passes a clock of its own.

    Durations everywhere in the project are differences of ``uptime_s``: a wall clock that is set
    while we run (boards boot in 1970) changes none of them.
    """

    def __init__(self, synced: Callable[[], bool] = kernel_clock_synced) -> None:
        self._synced = synced

    def uptime_s(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def now(self) -> Timestamp:
        return Timestamp(time.time(), self.uptime_s(), self._synced())
