"""What this process may use, and what its threads have used."""

import os
import re
import resource
import threading
from pathlib import Path


def thread_cpu_ns(native_id: int | None) -> int:
    """The processor time that a thread of ours has used; 0 where it has ended."""
    try:
        return int(Path(f"/proc/self/task/{native_id}/schedstat").read_text().split()[0])
    except OSError:
        return 0


def raise_descriptor_limit(wanted: int = 65536) -> None:
    """As many open files as we may have: a burst of connections must not cost a camera its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def make_way() -> None:
    """The calling thread, and those that it starts, get the processor when no other wants it."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


def group_memory_left(root: Path = Path("/")) -> int | None:
    """What our control groups leave to us, in bytes; None where they set no limit.

    Of version 2 that is the narrowest group above us, of version 1 the one that a container sees.
    """
    try:
        path = (root / "proc/self/cgroup").read_text().splitlines()[-1].partition("::")[2]
    except (OSError, IndexError):
        path = ""
    top = root / "sys/fs/cgroup"
    group, left = top / path.strip("/"), []
    while group.is_relative_to(top):
        left.append(_limit_left(group, "memory.max", "memory.current"))
        group = group.parent
    left.append(_limit_left(top / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"))
    return min((each for each in left if each is not None), default=None)


def _limit_left(group: Path, most: str, used: str) -> int | None:
    try:
        limit, used_bytes = (int((group / name).read_text()) for name in (most, used))
    except (OSError, ValueError):  # absent, or "max"
        return None
    if limit >= 1 << 60:  # how version 1 says that there is none
        return None
    return max(limit - used_bytes + _file_cache(group), 0)


def _file_cache(group: Path) -> int:
    """Counts as used, and is given back when it is needed: what was read of files."""
    try:
        text = (group / "memory.stat").read_text()
    except OSError:
        return 0
    return sum(map(int, re.findall(r"^(?:in)?active_file (\d+)$", text, re.MULTILINE)))
