"""A camera that is a GStreamer pipeline."""

import time
from collections.abc import Callable, Iterable

from edge.capture.gstreamer_pipeline import GstreamerPipeline, PipelineError
from edge.capture.libgstreamer import GstreamerSupport, library
from edge.capture.source import KEYFRAME_WAIT_S, SourceError, StreamInfo
from edge.frame import Image


class GstreamerSource:
    """Delivers the newest picture of a pipeline from `edge.capture.pipelines`.

    ``name`` stands for it in messages: a pipeline's text may hold a password. ``needs`` are the
    elements without which opening is not tried. ``description`` is what is known of the stream.
    """

    fallen_back = ""

    def __init__(
        self,
        name: str,
        pipeline: str,
        decoder: str,
        read_timeout_s: float,
        description: StreamInfo | None = None,
        needs: Iterable[str] = (),
        support: GstreamerSupport | None = None,
        keyframe_wait_s: float = KEYFRAME_WAIT_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._text, self._needs = name, pipeline, needs
        self._read_timeout_s = read_timeout_s
        self._first_timeout_s = max(keyframe_wait_s, read_timeout_s)
        self._support, self._monotonic = support or GstreamerSupport(), monotonic
        self._pipeline: GstreamerPipeline | None = None
        self._started = False  # a picture has come since `open`
        self.decoder = decoder
        self.description = description or StreamInfo(decoder)

    def open(self) -> None:
        gst, lacking = library(), self._support.lacks(self._needs)
        if gst is None or lacking:
            raise SourceError(f"{self._name}: {lacking}")
        self._started = False
        try:
            self._pipeline = GstreamerPipeline(gst, self._text, self._monotonic)
        except PipelineError as error:
            raise SourceError(f"{self._name}: {error}") from None

    def grab(self) -> None:
        timeout_s = self._read_timeout_s if self._started else self._first_timeout_s
        try:
            if not self._opened().pull(timeout_s):
                raise SourceError(f"{self._name}: no data for {timeout_s:g} s")
        except PipelineError as error:
            raise SourceError(f"{self._name}: {error}") from None
        self._started = True

    def retrieve(self) -> Image:
        try:
            return self._opened().picture()
        except PipelineError as error:
            raise SourceError(f"{self._name}: {error}") from None

    def close(self) -> None:
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            pipeline.close()

    def _opened(self) -> GstreamerPipeline:
        if self._pipeline is None:
            raise SourceError(f"{self._name}: is not open")
        return self._pipeline
