"""How old the spool's events are, over reboots and with a clock that is not always right."""

from dataclasses import dataclass, replace
from pathlib import Path

from edge.clock import Timestamp


def read_boot_id() -> str:
    """The kernel's name of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@dataclass(frozen=True, slots=True)
class Synced:
    """The last moment whose wall time was true."""

    boot_id: str
    wall_s: float
    spool_s: float
    last_id: int = 0  # the newest event of that boot, known from the next boot on


@dataclass(frozen=True, slots=True)
class Moment:
    """When the spool was written, on the clocks of that boot."""

    boot_id: str
    uptime_s: float
    spool_s: float
    synced: Synced | None


class SpoolAge:
    """Spool time: seconds that go on from boot to boot, without the time the machine was off.

    Events are dated in it, since the wall clock of a board that has just booted may say anything.
    The time off is added to the age of what was written before it as soon as it is known: when the
    clock is synchronised, and had been so in the boot that wrote.
    """

    def __init__(self, boot_id: str) -> None:
        self._boot_id = boot_id
        self._offset_s = 0.0  # from uptime to spool time
        self._last_synced: Synced | None = None

    def go_on_from(self, last: Moment, last_id: int, last_event_s: float) -> None:
        """``last_event_s``: the spool time at which the newest event, ``last_id``, was written."""
        if last.boot_id == self._boot_id:
            self._offset_s = last.spool_s - last.uptime_s
        else:
            self._offset_s = max(last.spool_s, last_event_s)
        self._last_synced = last.synced
        if last.synced is not None and last.synced.boot_id == last.boot_id != self._boot_id:
            self._last_synced = replace(last.synced, last_id=last_id)

    def spool_s(self, uptime_s: float) -> float:
        return uptime_s + self._offset_s

    def uptime_s(self, spool_s: float) -> float:
        return spool_s - self._offset_s

    def time_off(self, now: Timestamp) -> tuple[float, int] | None:
        """Seconds off that have just become known, and the newest event from before them."""
        synced = self._last_synced
        if not now.synced or synced is None or synced.boot_id == self._boot_id:
            return None
        counted_s = self.spool_s(now.uptime_s) - synced.spool_s
        return max(0.0, now.wall_s - synced.wall_s - counted_s), synced.last_id

    def moment(self, now: Timestamp, off_s: float = 0.0) -> Moment:
        """What to write down now, with ``off_s`` counted from here on."""
        spool_s = self.spool_s(now.uptime_s) + off_s
        if now.synced:
            synced: Synced | None = Synced(self._boot_id, now.wall_s, spool_s)
        else:
            synced = self._last_synced
        return Moment(self._boot_id, now.uptime_s, spool_s, synced)

    def written(self, moment: Moment) -> None:
        """``moment`` is on disk."""
        self._offset_s = moment.spool_s - moment.uptime_s
        self._last_synced = moment.synced
