"""Whether there is room in memory for a second model beside the one that runs."""

from pathlib import Path

from edge.config import ModelSettings
from edge.jetson.sysfs import memory
from edge.process import group_memory_left
from edge.weights import HOSTED_WEIGHTS, cached_path

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
    """What this process may still take: of the machine, and of its own control groups."""
    machine = memory(root)
    left = [None if machine is None else machine.available_bytes, group_memory_left(root)]
    return min((each for each in left if each is not None), default=None)


def _file_bytes(settings: ModelSettings, cache_dir: Path) -> int:
    path = settings.path
    hosted = HOSTED_WEIGHTS.get(settings.id or "")
    if hosted is not None:
        path = cached_path(hosted, cache_dir)
    try:
        return 0 if path is None else path.stat().st_size
    except OSError:  # not downloaded yet, or gone: loading it will say so
        return 0
