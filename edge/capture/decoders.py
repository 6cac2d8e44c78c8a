"""Which decoder a camera gets: what ``decoder:`` says, what there is, and how it did so far."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from edge.capture import nvjpeg
from edge.capture.address import RtspAddress, UsbAddress
from edge.capture.hardware_first import HardwareFirst, HardwareTrial
from edge.capture.libgstreamer import GstreamerSupport
from edge.capture.pipelines import RTSP_CODECS, elements, mjpg_pipeline, rtsp_pipeline
from edge.capture.source import KEYFRAME_WAIT_S, Source, StreamInfo, Wait, open_source

if TYPE_CHECKING:
    from edge.config import CameraSettings


class SourceOpener:
    """Opens one camera's sources, one after the other, and remembers how its hardware did."""

    def __init__(
        self,
        support: GstreamerSupport | None = None,
        jpeg_decoder: Callable[[], nvjpeg.DecodeJpeg | None] = nvjpeg.jpeg_decoder,
        keyframe_wait_s: float = KEYFRAME_WAIT_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._support = support or GstreamerSupport()
        self._jpeg_decoder, self._monotonic = jpeg_decoder, monotonic
        self._keyframe_wait_s = keyframe_wait_s
        self._trial = HardwareTrial(monotonic)
        self._tried: tuple[object, ...] = ()

    def __call__(
        self, settings: "CameraSettings", next_frame_id: int, wait: Wait = time.sleep
    ) -> Source:
        """The source for these settings, not yet opened; the arguments are `open_source`'s."""
        tried = settings.source, settings.transport, settings.decoder
        if tried != self._tried:  # another camera, as far as its decoder is concerned
            self._trial, self._tried = HardwareTrial(self._monotonic), tried
        if settings.decoder != "software":
            match settings.source:
                case RtspAddress() as address:
                    return self._rtsp(address, settings, wait)
                case UsbAddress() as address:
                    return self._usb(address, settings, wait)
        return open_source(settings, next_frame_id, wait)

    def _rtsp(self, address: RtspAddress, settings: "CameraSettings", wait: Wait) -> HardwareFirst:
        from edge.capture.rtsp import RtspSource

        transport, insists = settings.transport, settings.decoder == "nvidia"
        timeouts = settings.open_timeout_s, settings.read_timeout_s

        def hardware(codec: str, stream: StreamInfo) -> tuple[list[Source], str]:
            if codec not in RTSP_CODECS:
                return [], f"{address}: no hardware decoder for {codec}" if insists else ""
            pipeline = rtsp_pipeline(address, codec, transport, *timeouts)
            lacking = self._support.lacks(elements(pipeline))
            if lacking:
                return [], lacking if insists or self._is_expected() else ""
            return [self._gstreamer(str(address), pipeline, settings, stream)], ""

        software = RtspSource(address, transport, *timeouts)
        return HardwareFirst(software, hardware, self._trial, wait, self._monotonic)

    def _usb(self, address: UsbAddress, settings: "CameraSettings", wait: Wait) -> HardwareFirst:
        from edge.capture.v4l2 import V4l2Source

        insists = settings.decoder == "nvidia"

        def hardware(codec: str, stream: StreamInfo) -> tuple[list[Source], str]:
            if codec != "mjpeg":
                return [], ""  # raw pictures: there is nothing to decode
            sources: list[Source] = []
            newer = self._support.has("nvv4l2decoder")
            decoder = "nvv4l2decoder" if newer else "nvjpegdec"
            pipeline = mjpg_pipeline(address.path, stream, decoder)
            lacking = self._support.lacks(elements(pipeline))
            if not lacking:
                sources.append(self._gstreamer(str(address), pipeline, settings, stream))
            decode = self._jpeg_decoder()
            if decode is not None:
                sources.append(V4l2Source(address, settings.read_timeout_s, decode))
            if sources:
                return sources, ""
            return [], lacking if insists or self._is_expected() else ""

        software = V4l2Source(address, settings.read_timeout_s)
        return HardwareFirst(software, hardware, self._trial, wait, self._monotonic)

    def _is_expected(self) -> bool:
        """Whether this is a Jetson's GStreamer, so that decoding in software deserves a word."""
        return self._support.has("nvv4l2decoder") and self._support.has("nvvidconv")

    def _gstreamer(
        self, name: str, pipeline: str, settings: "CameraSettings", stream: StreamInfo
    ) -> Source:
        from edge.capture.gstreamer import GstreamerSource

        timeout_s = settings.read_timeout_s
        return GstreamerSource(
            name, pipeline, "nvidia", timeout_s, stream, keyframe_wait_s=self._keyframe_wait_s
        )
