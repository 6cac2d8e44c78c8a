"""The time of day: events carry it, certificates are checked by it."""

from collections.abc import Iterator
from datetime import datetime, timezone

from edge.clock import Clock
from edge.doctor.finding import Finding, fail, ok, warn
from edge.doctor.machine import Machine

_OLDEST_YEAR = 2025  # older than this software


def clock(read: Clock) -> Iterator[Finding]:
    now = read.now()
    shown = now.rfc3339()[:19] + "Z"
    if datetime.fromtimestamp(now.wall_s, timezone.utc).year < _OLDEST_YEAR:
        yield fail(
            "clock",
            f"{shown} cannot be right: certificates will be refused",
            "sudo date -s …, and let it follow a time server: sudo timedatectl set-ntp true",
        )
    elif not now.synced:
        yield warn(
            "clock",
            f"{shown}, which no time server keeps right",
            "sudo timedatectl set-ntp true, and see that one can be reached (timedatectl)",
        )
    else:
        yield ok("clock", f"{shown}, synchronised")


def hardware_clock(machine: Machine) -> Iterator[Finding]:
    """A Jetson without a battery starts in 1970, until the network gives it the time."""
    if not machine.jetson:
        return
    seconds = []
    for path in machine.nodes("sys/class/rtc/rtc*/since_epoch"):
        try:
            seconds.append(int(path.read_text()))
        except (OSError, ValueError):
            pass  # one that was never set answers EINVAL
    newest = max(seconds, default=0)
    if datetime.fromtimestamp(newest, timezone.utc).year < _OLDEST_YEAR:
        yield warn(
            "hardware clock",
            "keeps no time without power: the board starts in 1970",
            "connect a battery for it, or be sure of a time server (sudo hwclock --systohc)",
        )
    else:
        yield ok("hardware clock", "keeps the time")
