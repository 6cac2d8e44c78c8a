"""What this process may use, and what its threads have used."""

import os
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
