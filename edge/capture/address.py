"""What a camera's ``source:`` text means. Pure text work: nothing is opened here.

``str()`` and ``repr()`` of every address are safe to show to anybody.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from edge.spelling import did_you_mean

_SHAPES_MAX_WIDTH, _SHAPES_MAX_HEIGHT = 3840, 2160
_PERCENT_HINT = "in a user name or password write / as %2F, ? as %3F, # as %23 and @ as %40"
# One word of a GStreamer pipeline, with the quotes and backslashes that hold it together.
PIPELINE_WORD = re.compile(r"""(?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')+""")


@dataclass(frozen=True, slots=True, repr=False)
class RtspAddress:
    """``rtsp(s)://[user[:password]@]host[:port]/path``; ``url`` keeps the credentials."""

    url: str

    def __str__(self) -> str:
        """Without credentials, those in a query or in ``name=value`` parts of the path included."""
        scheme, _, rest = self.url.partition("://")
        _, at, place = rest.rpartition("@")
        place, *query = re.split(r"[?#]", place, maxsplit=1)
        host, *folders = place.split("/")
        shown = "/".join([host, *("***" if "=" in folder else folder for folder in folders)])
        return f"{scheme}://{'***@' if at else ''}{shown}{'?***' if query else ''}"

    def __repr__(self) -> str:
        return f"RtspAddress({self})"


@dataclass(frozen=True, slots=True)
class UsbAddress:
    """A V4L2 device: an index or a path, and what to ask it for (None: leave it)."""

    device: int | str
    size: tuple[int, int] | None = None  # width, height
    fps: float | None = None
    fourcc: str | None = None

    @property
    def path(self) -> str:
        return f"/dev/video{self.device}" if isinstance(self.device, int) else self.device

    def __str__(self) -> str:
        asked = {
            "size": None if self.size is None else _size_text(self.size),
            "fps": None if self.fps is None else f"{self.fps:g}",
            "fourcc": None if self.fourcc is None else self.fourcc.rstrip(),
        }
        name = self.device if isinstance(self.device, str) else f"usb:{self.device}"
        return name + _query_text(asked)


@dataclass(frozen=True, slots=True)
class FileAddress:
    """A video file. ``pace`` False: every frame is inferred, on the file's own time."""

    path: Path
    loop: bool = False
    pace: bool = True

    def __str__(self) -> str:
        path = str(self.path).replace("%", "%25").replace("?", "%3F")
        asked = {"loop": "1" if self.loop else None, "pace": None if self.pace else "none"}
        return f"file:{path}{_query_text(asked)}"


@dataclass(frozen=True, slots=True)
class ShapesAddress:
    """The synthetic camera."""

    seed: int = 1
    size: tuple[int, int] = (640, 360)  # width, height
    fps: float = 15.0
    objects: int | None = None  # None: drawn from the seed
    min_size: float = 24.0  # pixels

    def __str__(self) -> str:
        asked = {
            "seed": str(self.seed),
            "size": _size_text(self.size),
            "fps": f"{self.fps:g}",
            "objects": None if self.objects is None else str(self.objects),
            "min_size": f"{self.min_size:g}",
        }
        return f"shapes:{_query_text(asked)}"


@dataclass(frozen=True, slots=True)
class CsiAddress:
    """A camera on the board's own connector, and what to ask it for (None: leave it)."""

    sensor: int
    size: tuple[int, int] | None = None  # width, height
    fps: float | None = None

    def __str__(self) -> str:
        asked = {
            "size": None if self.size is None else _size_text(self.size),
            "fps": None if self.fps is None else f"{self.fps:g}",
        }
        return f"csi:{self.sensor}{_query_text(asked)}"


@dataclass(frozen=True, slots=True, repr=False)
class GstreamerAddress:
    pipeline: str

    def __str__(self) -> str:
        """The elements' names alone: any property may hold a password."""
        if PIPELINE_WORD.sub("", self.pipeline).strip():  # a quote that is never closed
            return "gstreamer:***"
        shown: list[str] = []
        for word in PIPELINE_WORD.findall(self.pipeline):
            is_name = (not shown or shown[-1] == "!") and re.fullmatch(r"[a-z][a-z0-9_]*", word)
            if word == "!" or is_name:
                shown.append(word)
            elif not shown or shown[-1] != "***":
                shown.append("***")
        return "gstreamer:" + " ".join(shown)

    def __repr__(self) -> str:
        return f"GstreamerAddress({self})"


Address = RtspAddress | UsbAddress | FileAddress | ShapesAddress | CsiAddress | GstreamerAddress


def parse_address(source: str, folder: Path) -> Address:
    """Read a ``source:`` text; a relative file path starts at ``folder``.

    Raises ``ValueError`` with one sentence that fits behind ``cameras[1].source: ``. It repeats
    at most a scheme, an option's name or a file's name, each in single quotes, never credentials.
    """
    text = re.sub(r"[\t\r\n]+", " ", source.strip())
    if not text:
        raise ValueError("must not be empty")
    if not text.isprintable():
        raise ValueError("contains a character that cannot be printed")
    if text.startswith("/dev/"):
        return _device(text)
    scheme, colon, rest = text.partition(":")
    reader = _READERS.get(scheme.lower())
    if reader is not None:
        if not colon:
            raise ValueError(f"needs a colon and what to open: '{scheme}:'")
        return reader(scheme.lower(), rest, folder)
    if not colon or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]{0,30}", scheme):
        raise ValueError(_not_a_source(text))
    if "@" in rest and not rest.startswith("//"):  # user:password@host: the "scheme" is a name
        raise ValueError(
            "is not a source; a network camera is written rtsp://user:password@host/path"
        )
    hint = did_you_mean(scheme, _READERS)
    raise ValueError(f"unknown scheme '{scheme}'" + (hint or f" (known are {', '.join(_READERS)})"))


def _not_a_source(text: str) -> str:
    if re.fullmatch(r"[0-9]+", text):
        return f"is not a source; for a USB camera write 'usb:{text}'"
    if "@" in text or "//" in text:  # perhaps credentials: not to be repeated
        return f"is not a source (known are {', '.join(_READERS)})"
    return f"is not a source; for a video file write 'file:{text}'"


def _rtsp(scheme: str, rest: str, folder: Path) -> RtspAddress:
    if not rest.startswith("//"):
        raise ValueError(f"must be written {scheme}://host/path")
    if " " in rest:
        raise ValueError("must not contain a space (write it as %20)")
    authority, *behind = re.split(r"(?=[/?#])", rest[2:], maxsplit=1)
    if any("@" in part for part in behind):
        # A slash in a password would end the host early, and the rest of it be taken for a path.
        raise ValueError(f"has an @ behind the host ({_PERCENT_HINT})")
    _, _, place = authority.rpartition("@")
    if not place or place.startswith(":"):
        raise ValueError(f"has no host: it must be written {scheme}://host/path")
    match = re.fullmatch(r"(?:\[([^\]]+)\]|[\w.-]+)(?::([0-9]{1,5}))?", place)
    if match is None:
        raise ValueError(f"has a host or port that is not valid ({_PERCENT_HINT})")
    if match[1] is not None:
        _check_ipv6(match[1])
    if match[2] is not None and not 1 <= int(match[2]) <= 65535:
        raise ValueError("has a port that is not from 1 to 65535")
    return RtspAddress(f"{scheme}:{rest}")


def _check_ipv6(address: str) -> None:
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        raise ValueError("has an IPv6 address in brackets that is not valid") from None


def _device(text: str) -> UsbAddress:
    path, _, query = text.partition("?")
    if path.endswith("/"):
        raise ValueError("must name a device, like /dev/video0")
    return _usb_options(path, query)


def _usb(scheme: str, rest: str, folder: Path) -> UsbAddress:
    index, _, query = rest.partition("?")
    if not re.fullmatch(r"[0-9]{1,3}", index):
        raise ValueError("must give the camera's number, like usb:0, or be a path like /dev/video0")
    return _usb_options(int(index), query)


def _usb_options(device: int | str, query: str) -> UsbAddress:
    options = _options(query, ("size", "fps", "fourcc"))
    fourcc = options.get("fourcc")
    if fourcc is not None and not re.fullmatch(r"[A-Za-z0-9]{3,4}", fourcc):
        raise ValueError("has a fourcc that is not a code of four characters, like MJPG")
    return UsbAddress(
        device,
        size=_size(options["size"]) if "size" in options else None,
        fps=_number(options, "fps", 0.1, 1000) if "fps" in options else None,
        fourcc=None if fourcc is None else fourcc.ljust(4),
    )


def _file(scheme: str, rest: str, folder: Path) -> FileAddress:
    encoded, _, query = rest.partition("?")
    if encoded.startswith("//") and not encoded.startswith("///"):
        raise ValueError(
            "must be written file:NAME or file:///FOLDER/NAME (two slashes name a host)"
        )
    try:
        path = unquote(encoded.removeprefix("//"), errors="strict")
    except UnicodeDecodeError:
        raise ValueError("has percent-encoded bytes that are not UTF-8") from None
    if not path or not path.isprintable():
        raise ValueError("must name a file, like file:clip.mp4")
    options = _options(query, ("loop", "pace"))
    return FileAddress(
        folder / path,
        loop=_choice(options, "loop", {"0": False, "1": True}, default=False),
        pace=_choice(options, "pace", {"real": True, "none": False}, default=True),
    )


def _shapes(scheme: str, rest: str, folder: Path) -> ShapesAddress:
    junk, _, query = rest.partition("?")
    if junk:
        raise ValueError("must be written shapes: or shapes:?seed=1")
    options = _options(query, ("seed", "size", "fps", "objects", "min_size"))
    usual = ShapesAddress()
    width, height = size = _size(options["size"]) if "size" in options else usual.size
    if not (32 <= width <= _SHAPES_MAX_WIDTH and 32 <= height <= _SHAPES_MAX_HEIGHT):
        limits = f"32x32 to {_SHAPES_MAX_WIDTH}x{_SHAPES_MAX_HEIGHT}"
        raise ValueError(f"has a size that is not from {limits}")
    return ShapesAddress(
        seed=_whole_number(options, "seed", 2**32 - 1) if "seed" in options else usual.seed,
        size=size,
        fps=_number(options, "fps", 0.1, 1000) if "fps" in options else usual.fps,
        objects=_whole_number(options, "objects", 8) if "objects" in options else None,
        min_size=_number(options, "min_size", 24, 160) if "min_size" in options else usual.min_size,
    )


def _csi(scheme: str, rest: str, folder: Path) -> CsiAddress:
    sensor, _, query = rest.partition("?")
    if not re.fullmatch(r"[0-9]{1,3}", sensor):
        raise ValueError("must give the sensor's number, like csi:0")
    options = _options(query, ("size", "fps"))
    return CsiAddress(
        int(sensor),
        size=_size(options["size"]) if "size" in options else None,
        fps=_number(options, "fps", 0.1, 1000) if "fps" in options else None,
    )


def _gstreamer(scheme: str, rest: str, folder: Path) -> GstreamerAddress:
    if not rest.strip():
        raise ValueError("must give a pipeline, like gstreamer:v4l2src ! videoconvert")
    return GstreamerAddress(rest.strip())


_READERS: Mapping[str, Callable[[str, str, Path], Address]] = {
    "rtsp": _rtsp,
    "rtsps": _rtsp,
    "usb": _usb,
    "file": _file,
    "shapes": _shapes,
    "csi": _csi,
    "gstreamer": _gstreamer,
}


def _options(query: str, known: tuple[str, ...]) -> dict[str, str]:
    """What stands behind the question mark, by name."""
    options: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, equals, value = part.partition("=")
        if name not in known:
            shown = f" '{name}'" if re.fullmatch(r"[A-Za-z0-9_-]{1,30}", name) else ""
            hint = did_you_mean(name, known) or f" (known are {', '.join(known)})"
            raise ValueError(f"unknown option{shown}{hint}")
        if not equals or not value:
            raise ValueError(f"option '{name}' has no value")
        if name in options:
            raise ValueError(f"option '{name}' is given twice")
        options[name] = value
    return options


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", text)
    if match is None:
        raise ValueError("has a size that is not WIDTHxHEIGHT in pixels, like 1280x720")
    return int(match[1]), int(match[2])


def _number(options: Mapping[str, str], name: str, low: float, high: float) -> float:
    text = options[name]
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or not low <= float(text) <= high:
        raise ValueError(f"{name} must be a number from {low:g} to {high:g}")
    return float(text)


def _whole_number(options: Mapping[str, str], name: str, high: int) -> int:
    text = options[name]
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > high:
        raise ValueError(f"{name} must be a whole number from 0 to {high}")
    return int(text)


def _choice(
    options: Mapping[str, str], name: str, meaning: Mapping[str, bool], default: bool
) -> bool:
    if name not in options:
        return default
    if options[name] not in meaning:
        raise ValueError(f"{name} must be one of {', '.join(meaning)}")
    return meaning[options[name]]


def _size_text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _query_text(asked: Mapping[str, str | None]) -> str:
    text = "&".join(f"{name}={value}" for name, value in asked.items() if value is not None)
    return f"?{text}" if text else ""
