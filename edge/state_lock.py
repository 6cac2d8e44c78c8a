"""One process a state folder: two would clear each other's retained topics."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class StateFolderInUse(Exception):  # noqa: N818 - says what is the matter
    """Another process has the state folder; one sentence that starts with the key."""

    exit_code = 78


@contextmanager
def state_folder_locked(folder: Path) -> Iterator[None]:
    """Hold the folder, made where there is none; the kernel lets go of it for a killed process.

    Raises ``StateFolderInUse``. A folder that the disk does not let us have is nobody's.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        yield
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateFolderInUse(
                f"state_dir: {folder} is in use by another process: each daemon needs its own"
            ) from None
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(descriptor)
