"""USB cameras through V4L2, read by OpenCV."""

import logging
import os
import time
from collections.abc import Callable

import cv2

from edge.capture.address import UsbAddress
from edge.capture.nvjpeg import DecodeJpeg
from edge.capture.opencv_log import silence_opencv
from edge.capture.source import DamagedFrame, SourceError, StreamInfo
from edge.frame import Image

LOG = logging.getLogger(__name__)


class V4l2Source:
    """One V4L2 device. A frame is decoded (MJPG) or converted (YUYV) only when it is retrieved.

    ``decode_jpeg`` decodes MJPG in OpenCV's place.

    OpenCV waits up to 10 s for a frame and cannot be told otherwise, so a camera that freezes
    without being unplugged is noticed after 10 s, whatever ``read_timeout_s`` says.
    """

    fallen_back = ""

    def __init__(
        self,
        address: UsbAddress,
        read_timeout_s: float,
        decode_jpeg: DecodeJpeg | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address, self._path = address, address.path
        self._decode_jpeg = decode_jpeg
        self.decoder = "software" if decode_jpeg is None else "nvjpeg"
        self._read_timeout_s = read_timeout_s
        self._monotonic = monotonic
        self._capture: cv2.VideoCapture | None = None
        self._good_s = 0.0
        self.description = StreamInfo("unknown")

    @property
    def codec(self) -> str:
        """Of the open stream, by FFmpeg's name: "mjpeg", or a raw format's."""
        return "mjpeg" if self.description.codec == "MJPG" else self.description.codec.lower()

    def open(self) -> None:
        self._require_device()
        silence_opencv()
        # By path also for an index: OpenCV numbers devices of its own accord when one is missing.
        capture = cv2.VideoCapture(self._path, cv2.CAP_V4L2)
        self._capture = capture
        if not capture.isOpened():
            raise SourceError(f"{self._path}: is busy or is not a video capture device")
        asked = self._address
        # The order matters: a format limits the sizes, and a size limits the rates.
        if asked.fourcc:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*asked.fourcc))
        if asked.size:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, asked.size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, asked.size[1])
        if asked.fps:
            capture.set(cv2.CAP_PROP_FPS, asked.fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # no queue of old frames in the driver
        if self._decode_jpeg is not None:
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)  # the JPEG's bytes as they come
        self.description = self._granted(capture)
        self._report()
        self._good_s = self._monotonic()

    def grab(self) -> None:
        capture = self._opened()
        started = self._monotonic()
        grabbed = capture.grab()
        # Some OpenCV versions report success when their own wait has run out.
        if self._monotonic() - started > self._read_timeout_s:
            raise SourceError(f"{self._path}: no frame for {self._read_timeout_s:g} s")
        if not grabbed:
            raise SourceError(f"{self._path}: stopped delivering frames; was it unplugged?")

    def retrieve(self) -> Image:
        image = self._picture()
        now = self._monotonic()
        if image is None:
            if now - self._good_s > self._read_timeout_s:
                raise SourceError(f"{self._path}: sends only frames that cannot be decoded")
            raise DamagedFrame  # cheap cameras send a broken JPEG now and then
        self._good_s = now
        return image

    def _picture(self) -> Image | None:
        """The grabbed frame; None where it cannot be decoded."""
        retrieved, data = self._opened().retrieve()
        if not retrieved or data is None:
            return None
        if self._decode_jpeg is not None:
            try:
                return self._decode_jpeg(data.reshape(-1))  # [1, N]
            except DamagedFrame:
                return None
        return data if data.ndim == 3 else None

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _opened(self) -> cv2.VideoCapture:
        if self._capture is None:
            raise SourceError(f"{self._path}: is not open")
        return self._capture

    def _require_device(self) -> None:
        """Ask the kernel first: its answer says why, where OpenCV only says no."""
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_NONBLOCK))
        except FileNotFoundError:
            raise SourceError(f"{self._path}: no such device; is the camera plugged in?") from None
        except PermissionError:
            raise SourceError(
                f"{self._path}: permission denied; add this user to the group video"
            ) from None
        except OSError as error:
            raise SourceError(f"{self._path}: {(error.strerror or 'cannot be opened')}") from None

    @staticmethod
    def _granted(capture: cv2.VideoCapture) -> StreamInfo:
        code = int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
        fourcc = code.to_bytes(4, "little").decode("ascii", "replace").rstrip("\0 ")
        width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        return StreamInfo(fourcc, (width, height), capture.get(cv2.CAP_PROP_FPS) or None)

    def _report(self) -> None:
        asked, granted = self._address, self.description
        LOG.info("%s: granted %s", self._path, granted)
        differences = [
            f"{name} {_text(wanted)} but got {_text(got)}"
            for name, wanted, got in (
                ("fourcc", asked.fourcc, granted.codec),
                ("size", asked.size, granted.size),
                ("fps", asked.fps, granted.fps),
            )
            if wanted is not None and wanted != got
        ]
        if differences:
            LOG.warning("%s: asked for %s", self._path, "; ".join(differences))


def _text(value: str | float | tuple[int, int] | None) -> str:
    if isinstance(value, tuple):
        return f"{value[0]}x{value[1]}"
    return f"{value:g}" if isinstance(value, float | int) else str(value)
