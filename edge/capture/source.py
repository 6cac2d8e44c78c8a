"""What a camera looks like to the capture thread, whatever is behind it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from edge.capture.address import (
    CsiAddress,
    FileAddress,
    GstreamerAddress,
    RtspAddress,
    ShapesAddress,
    UsbAddress,
)
from edge.frame import Image

if TYPE_CHECKING:
    from edge.config import CameraSettings

KEYFRAME_WAIT_S = 20.0  # cameras that send a key frame only every 10 s are common

Wait = Callable[[float], object]  # seconds; may return early when the camera is told to stop


class SourceError(Exception):
    """The camera delivers nothing; the message is one sentence, without credentials."""


class DamagedFrame(Exception):  # noqa: N818 - one frame is lost, the camera goes on
    """The frame that was just grabbed cannot be decoded; the next one may."""


class EndOfSource(Exception):  # noqa: N818 - an ending, not an error
    """A file that is not looped has no further frame."""


class ReopenSource(Exception):  # noqa: N818 - no failure
    """The source works, and wants to be closed and opened anew at once."""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What the camera granted; ``size`` is (width, height), None where it is not known yet."""

    codec: str
    size: tuple[int, int] | None = None
    fps: float | None = None

    def __str__(self) -> str:
        size = f" {self.size[0]}x{self.size[1]}" if self.size else ""
        fps = f" at {self.fps:.4g} fps" if self.fps else ""
        return f"{self.codec}{size}{fps}"


class Source(Protocol):
    """One opened camera. All calls come from one thread: a source is never released from another.

    Hold after `open`: ``decoder`` names what makes its pictures (docs/capture.md lists the names);
    ``fallen_back`` says in one sentence why that is not the hardware that was asked for or is
    there, and is empty where all is as it should be; ``description``.
    """

    @property
    def decoder(self) -> str: ...

    @property
    def fallen_back(self) -> str: ...

    @property
    def description(self) -> StreamInfo: ...

    def open(self) -> None:
        """Connect. Raises `SourceError`."""

    def grab(self) -> float | None:
        """Block until the camera's next frame is taken.

        Returns how many seconds it comes after the first one, where the source runs on a time of
        its own, and None where a frame is captured as it is taken. Returns early, without a frame,
        only where its `Wait` returned early. Raises `SourceError` on a stall or failure,
        `EndOfSource` behind the last frame of a file, and `ReopenSource`.
        """

    def retrieve(self) -> Image:
        """The grabbed frame as uint8 BGR ``[H, W, 3]``, contiguous, writable, the caller's own.

        A frame that nobody retrieves costs no conversion. Raises `DamagedFrame` or `SourceError`.
        """

    def close(self) -> None:
        """Release everything; also after a failed `open`, and twice."""


def open_source(settings: "CameraSettings", next_frame_id: int, wait: Wait = time.sleep) -> Source:
    """The source that ``settings.source`` names, not yet opened, with its pictures decoded by the
    processor; `edge.capture.decoders.SourceOpener` tries hardware first.

    The synthetic camera goes on with its frame ``next_frame_id``; ``wait`` is how a paced source
    sleeps.
    """
    # Imported here: a daemon with one kind of camera need not load the libraries of the others.
    match settings.source:
        case RtspAddress() as address:
            from edge.capture.rtsp import RtspSource

            return RtspSource(
                address, settings.transport, settings.open_timeout_s, settings.read_timeout_s
            )
        case UsbAddress() as address:
            from edge.capture.v4l2 import V4l2Source

            return V4l2Source(address, settings.read_timeout_s)
        case FileAddress() as address:
            from edge.capture.file import FileSource

            return FileSource(address, wait)
        case ShapesAddress() as address:
            from edge.capture.synthetic import SyntheticSource

            return SyntheticSource(address, next_frame_id, wait)
        case CsiAddress() | GstreamerAddress() as address:
            from edge.capture.gstreamer import GstreamerSource
            from edge.capture.pipelines import csi_pipeline, elements, own_pipeline

            name, timeout_s = str(address), settings.read_timeout_s
            if isinstance(address, GstreamerAddress):
                return GstreamerSource(name, own_pipeline(address), "gstreamer", timeout_s)
            pipeline = csi_pipeline(address)
            needs = elements(pipeline)
            return GstreamerSource(name, pipeline, "nvargus", timeout_s, needs=needs)
