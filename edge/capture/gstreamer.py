"""GStreamer pipelines, read by OpenCV where it was built with GStreamer."""

import re
import time
from collections.abc import Callable, Iterable

import cv2

from edge.capture.gstreamer_elements import GstreamerSupport
from edge.capture.opencv_log import silence_opencv
from edge.capture.source import KEYFRAME_WAIT_S, SourceError, StreamInfo
from edge.frame import Image

_TIMEOUTS_SINCE = (4, 7)
_LONGEST_OPEN_S = 10.0  # of what OpenCV waits; a picture that comes later is waited for in `grab`
_AT_ONCE_S = 0.5  # a read that gives up sooner has not waited: the stream is over


class GstreamerSource:
    """One pipeline whose appsink holds the newest picture alone.

    ``name`` stands for it in messages: a pipeline's text may hold a password. ``needs`` are the
    elements without which opening is not tried. ``description`` is what is known of the stream.

    OpenCV has timeouts for GStreamer since 4.7 (JetPack 6 brings 4.8). Before, a camera that
    freezes without hanging up keeps the capture thread, and `Camera` replaces that.
    """

    fallen_back = ""

    def __init__(
        self,
        name: str,
        pipeline: str,
        decoder: str,
        open_timeout_s: float,
        read_timeout_s: float,
        description: StreamInfo | None = None,
        needs: Iterable[str] = (),
        support: GstreamerSupport | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._pipeline, self._needs = name, pipeline, needs
        self._support = support or GstreamerSupport()
        self._open_timeout_s, self._read_timeout_s = open_timeout_s, read_timeout_s
        self._monotonic = monotonic
        self._capture: cv2.VideoCapture | None = None
        self._started = False  # a picture has come since `open`
        self.decoder = decoder
        self.description = description or StreamInfo(decoder)

    def open(self) -> None:
        lacking = self._support.lacks(self._needs)
        if lacking:
            raise SourceError(f"{self._name}: {lacking}")
        silence_opencv()
        self._started = False
        self._capture = cv2.VideoCapture(self._pipeline, cv2.CAP_GSTREAMER, self._timeouts())
        if not self._capture.isOpened():
            raise SourceError(f"{self._name}: the GStreamer pipeline cannot be opened")

    def grab(self) -> None:
        capture = self._opened()
        started = self._monotonic()
        limit_s = self._read_timeout_s if self._started else KEYFRAME_WAIT_S
        while True:
            asked = self._monotonic()
            grabbed = capture.grab()
            now = self._monotonic()
            # Also where one came: it may be from before a stall.
            if self._started and now - started >= self._read_timeout_s:
                raise SourceError(f"{self._name}: no data for {self._read_timeout_s:g} s")
            if grabbed:
                self._started = True
                return
            if now - asked < _AT_ONCE_S:
                raise SourceError(f"{self._name}: the GStreamer pipeline has ended")
            if now - started >= limit_s:
                raise SourceError(f"{self._name}: no picture within {now - started:.0f} s")

    def retrieve(self) -> Image:
        retrieved, image = self._opened().retrieve()
        if not retrieved or image is None or image.ndim != 3 or image.shape[2] != 3:
            raise SourceError(f"{self._name}: the pipeline's appsink does not deliver BGR pictures")
        bgr: Image = image
        return bgr

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _opened(self) -> cv2.VideoCapture:
        if self._capture is None:
            raise SourceError(f"{self._name}: is not open")
        return self._capture

    def _timeouts(self) -> list[int]:
        version = re.findall(r"\d+", cv2.__version__)
        if (int(version[0]), int(version[1])) < _TIMEOUTS_SINCE:
            return []
        open_s = min(self._open_timeout_s, _LONGEST_OPEN_S)
        return [
            *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(open_s * 1000)),
            *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(self._read_timeout_s * 1000)),
        ]
