"""The folders of the daemon: may it write there, is there room, and does SQLite trust the disk?"""

import re
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from edge.doctor.finding import Finding, fail, ok, warn
from edge.doctor.machine import Machine

_MIB = 1 << 20
_DEFAULT_SPOOL_BYTES = 64 * _MIB
_WEIGHTS_BYTES = (
    600 * _MIB
)  # the largest hosted checkpoint, and while it is downloaded nothing else
_REMOTE = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "ceph", "glusterfs")
_VOLATILE = ("tmpfs", "ramfs")
_NOT_UNIX = ("vfat", "exfat", "msdos", "ntfs", "fuseblk")
_COMMITS, _SLOW_COMMIT_S = 5, 0.1

FreeBytes = Callable[[Path], int]


def free_bytes(path: Path) -> int:
    return shutil.disk_usage(path).free


def state_folder(
    machine: Machine,
    folder: Path,
    spool_bytes: int = _DEFAULT_SPOOL_BYTES,
    free: FreeBytes = free_bytes,
) -> Iterator[Finding]:
    """``spool_bytes`` is what the spool may grow to."""
    there = nearest(folder)
    if not machine.may_use(there):
        yield fail(
            "state folder",
            f"{machine.user.name} may not write to {there}",
            f"sudo install -d -o {machine.user.name} {folder}",
        )
        return
    kind = filesystem(there, machine.root)
    if kind in _REMOTE:
        yield fail(
            "state folder",
            f"{folder} is on a network file system ({kind}), where SQLite's log is not safe",
            "set state_dir to a folder on a disk of this machine",
        )
    elif kind in _VOLATILE:
        yield warn(
            "state folder",
            f"{folder} is in memory ({kind}): events do not survive a reboot",
            "set state_dir to a folder on a disk",
        )
    elif kind in _NOT_UNIX:
        yield warn(
            "state folder",
            f"{folder} is on {kind}, which does not survive a power cut well",
            "use a disk with ext4",
        )
    elif kind == "overlay" and machine.container:
        yield warn(
            "state folder",
            f"{folder} is in the container itself: its events go when the container goes",
            "mount a volume there",
        )
    left = free(there)
    if left < spool_bytes:
        yield fail(
            "state folder",
            f"{left / _MIB:.0f} MiB free for {folder}, the spool may need {spool_bytes / _MIB:.0f}",
            "free some space, or lower spool.max_bytes",
        )
        return
    yield from _commits(folder, there, f"{left / _MIB:.0f} MiB free")


def _commits(folder: Path, there: Path, room: str) -> Iterator[Finding]:
    """Commit as the spool does, in a database of its own that goes again."""
    if there != folder:
        yield ok("state folder", f"{folder} will be made, {room}")
        return
    try:
        commit_s = commit_time_s(folder)
    except (OSError, sqlite3.Error) as error:
        yield fail(
            "state folder",
            f"SQLite cannot write in {folder}: {error}",
            "look at the disk (sudo dmesg), or set state_dir to another one",
        )
        return
    if commit_s > _SLOW_COMMIT_S:
        yield warn(
            "state folder",
            f"{folder} takes {commit_s * 1000:.0f} ms to keep an event",
            "use an NVMe disk or eMMC instead of an SD card",
        )
    else:
        yield ok("state folder", f"{folder}, {room}, an event kept in {commit_s * 1000:.1f} ms")


def commit_time_s(folder: Path) -> float:
    """The median of a few synchronous commits to a write-ahead log in ``folder``."""
    with tempfile.TemporaryDirectory(prefix=".doctor-", dir=folder) as inside:
        connection = sqlite3.connect(Path(inside) / "try.db", isolation_level=None)
        try:
            (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
            if mode != "wal":
                raise sqlite3.OperationalError("its file system has no write-ahead log")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("CREATE TABLE event (body BLOB)")
            times = []
            for _ in range(_COMMITS):
                started_s = time.perf_counter()
                connection.execute("INSERT INTO event VALUES (zeroblob(700))")
                times.append(time.perf_counter() - started_s)
        finally:
            connection.close()
    return statistics.median(times)


def cache_folder(
    machine: Machine, folder: Path, needs_weights: bool, free: FreeBytes = free_bytes
) -> Iterator[Finding]:
    """``needs_weights``: hosted weights are still to be downloaded into it."""
    there = nearest(folder)
    left = free(there)
    if not machine.may_use(there):
        yield warn(
            "cache folder",
            f"{machine.user.name} may not write to {there}: weights cannot be downloaded",
            f"sudo install -d -o {machine.user.name} {folder}",
        )
    elif needs_weights and left < _WEIGHTS_BYTES:
        yield fail(
            "cache folder",
            f"{left / _MIB:.0f} MiB free for {folder}, weights need {_WEIGHTS_BYTES / _MIB:.0f}",
            "free some space, or set cache_dir to another disk",
        )
    else:
        yield ok("cache folder", f"{folder}, {left / _MIB:.0f} MiB free")


def nearest(folder: Path) -> Path:
    """The folder itself, else the nearest one above that is there: nothing is made here."""
    absolute = folder.absolute()
    return next(path for path in (absolute, *absolute.parents) if path.is_dir())


def filesystem(path: Path, root: Path = Path("/")) -> str:
    """The type of the file system that holds ``path``, e.g. ``ext4``; empty where unknown."""
    try:
        lines = (root / "proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    resolved, best = path.resolve(), (-1, "")
    for line in lines:
        before, _, after = line.partition(" - ")
        mount = Path(re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), before.split(" ")[4]))
        if resolved.is_relative_to(mount):
            # The last of those mounted at the same place hides the others.
            best = max(best, (len(mount.parts), after.split(" ")[0]), key=lambda entry: entry[0])
    return best[1]
