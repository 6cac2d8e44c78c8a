"""Whether there is room in memory for a second model beside the one that runs."""

import re
from pathlib import Path

from edge.config import ModelSettings
from edge.jetson.sysfs import memory
from edge.weights import HOSTED_WEIGHTS

# Buffers for two frames of 1080p, the network's intermediate results, what libraries take.
WORKING_BYTES = 256 << 20


class NoRoomError(Exception):
    """Two models do not fit into memory."""

    exit_code = 71


def check_room(settings: ModelSettings, cache_dir: Path, root: Path = Path("/")) -> None:
    """Raises ``NoRoomError`` where a second model would not fit beside the one that runs.

    Asked beforehand, since too large an allocation seldom fails where the GPU shares the memory:
    the kernel then ends the process, and with it the model that runs. The need is an estimate: the
    file as it is read, the network made of it, and `WORKING_BYTES`.
    """
    needed, free = 2 * _file_bytes(settings, cache_dir) + WORKING_BYTES, available_bytes(root)
    if free is not None and needed > free:
        raise NoRoomError(
            f"a second model beside the one that runs needs about {needed >> 20} MiB of memory, and"
            f" {free >> 20} MiB are available: restart to change the model"
        )


def available_bytes(root: Path = Path("/")) -> int | None:
    """What this process may still take: of the machine, and of its own control groups (v2)."""
    left = []
    machine = memory(root)
    if machine is not None:
        left.append(machine.available_bytes)
    try:
        path = (root / "proc/self/cgroup").read_text().splitlines()[-1].partition("::")[2]
    except (OSError, IndexError):
        path = ""
    group = root / "sys/fs/cgroup" / path.strip("/")
    while group != root / "sys/fs" and group.is_relative_to(root):
        limit, used = _number(group / "memory.max"), _number(group / "memory.current")
        if limit is not None and used is not None:
            left.append(limit - used + _file_cache(group))
        group = group.parent
    return min(left, default=None)


def _file_cache(group: Path) -> int:
    """Counts as used, and is given back when it is needed: what was read of files."""
    try:
        text = (group / "memory.stat").read_text()
    except OSError:
        return 0
    return sum(map(int, re.findall(r"^(?:in)?active_file (\d+)$", text, re.MULTILINE)))


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # "max" is no limit
        return None


def _file_bytes(settings: ModelSettings, cache_dir: Path) -> int:
    path = settings.path
    hosted = HOSTED_WEIGHTS.get(settings.id or "")
    if hosted is not None:
        path = cache_dir / "weights" / hosted.file
    try:
        return 0 if path is None else path.stat().st_size
    except OSError:  # not downloaded yet, or gone: loading it will say so
        return 0
