"""USB cameras through V4L2, read by OpenCV."""

import logging
import os
import time
from collections.abc import Callable

import cv2

from edge.capture.address import UsbAddress
from edge.capture.source import DamagedFrame, SourceError, StreamInfo
from edge.frame import Image

LOG = logging.getLogger(__name__)


class V4l2Source:
    """One V4L2 device. A frame is decoded (MJPG) or converted (YUYV) only when it is retrieved.

    OpenCV waits up to 10 s for a frame and cannot be told otherwise, so a camera that freezes
    without being unplugged is noticed after 10 s, whatever ``read_timeout_s`` says.
    """

    decoder = "v4l2"

    def __init__(
        self,
        address: UsbAddress,
        read_timeout_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        device = address.device
        self._path = f"/dev/video{device}" if isinstance(device, int) else device
        self._read_timeout_s = read_timeout_s
        self._monotonic = monotonic
        self._capture: cv2.VideoCapture | None = None
        self._good_s = 0.0
        self.description = StreamInfo("unknown")

    def open(self) -> None:
        self._require_device()
        cv2.utils.logging.setLogLevel(
            cv2.utils.logging.LOG_LEVEL_SILENT
        )  # it prints to stderr on its own; what failed is said by us
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
        decoded, image = self._opened().retrieve()
        now = self._monotonic()
        if not decoded or image is None or image.ndim != 3:
            if now - self._good_s > self._read_timeout_s:
                raise SourceError(f"{self._path}: sends only frames that cannot be decoded")
            raise DamagedFrame  # cheap cameras send a broken JPEG now and then
        self._good_s = now
        bgr: Image = image
        return bgr

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
