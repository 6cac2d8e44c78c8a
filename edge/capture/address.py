"""What a camera's ``source:`` text means. Pure text work: nothing is opened here."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RtspAddress:
    """``rtsp(s)://[user[:password]@]host[:port]/path``; ``url`` keeps the credentials."""

    url: str

    def __str__(self) -> str:
        raise NotImplementedError  # shown without credentials: rtsp://***@host/path


@dataclass(frozen=True, slots=True)
class UsbAddress:
    """A V4L2 device: an index or a path, and what to ask it for (None: leave it)."""

    device: int | str
    size: tuple[int, int] | None = None  # width, height
    fps: float | None = None
    fourcc: str | None = None


@dataclass(frozen=True, slots=True)
class FileAddress:
    """A video file. ``pace`` False: every frame is inferred, on the file's own time."""

    path: Path
    loop: bool = False
    pace: bool = True


@dataclass(frozen=True, slots=True)
class ShapesAddress:
    """The synthetic camera."""

    seed: int = 1
    size: tuple[int, int] = (640, 360)  # width, height
    fps: float = 15.0
    objects: int | None = None
    min_size: float = 24.0


@dataclass(frozen=True, slots=True)
class CsiAddress:
    sensor: int


@dataclass(frozen=True, slots=True)
class GstreamerAddress:
    pipeline: str


Address = RtspAddress | UsbAddress | FileAddress | ShapesAddress | CsiAddress | GstreamerAddress


def parse_address(source: str, folder: Path) -> Address:
    """Read a ``source:`` text; a relative file path starts at ``folder``.

    Raises ``ValueError`` with one sentence that fits behind ``cameras[1].source: ``.
    """
    raise NotImplementedError
