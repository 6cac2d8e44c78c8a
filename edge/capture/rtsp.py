"""RTSP cameras, read and decoded by FFmpeg through PyAV. Why not OpenCV: docs/capture.md."""

import errno
import logging
import time
from collections.abc import Callable, Iterator
from typing import Literal

import av

from edge.capture.address import RtspAddress
from edge.capture.bgr import ToBgr
from edge.capture.freshness import Freshness
from edge.capture.source import KEYFRAME_WAIT_S, SourceError, StreamInfo
from edge.frame import Image

LOG = logging.getLogger(__name__)

SKIP_AHEAD_S = 1.0  # further behind than this, decoding pauses until the next key frame

_OPTIONS = {
    "allowed_media_types": "video",  # audio and metadata tracks are not even set up
    # Return from opening with the first packet. FFmpeg would otherwise collect about a second of
    # video to guess what the SDP already says, and then hand out those old pictures as a burst.
    "analyzeduration": "0",
    "probesize": "32",
    "max_delay": "100000",  # UDP: wait 0.1 s for a packet that was overtaken
    "buffer_size": "2097152",  # UDP: room for a whole key frame; the kernel may grant less
}

_OPENING_ERRORS: tuple[tuple[type[Exception], str], ...] = (
    (av.HTTPUnauthorizedError, "the camera refused the user name or the password (401)"),
    (av.HTTPForbiddenError, "the camera forbids access to this stream (403)"),
    (av.HTTPNotFoundError, "the camera has no stream of this path (404)"),
    (av.ConnectionRefusedError, "connection refused: nothing listens at this address and port"),
)


class RtspSource:
    """One RTSP session, over TCP or UDP as told and never the other.

    One decoding thread: frame threads would hold pictures back, and slice threads cost CPU time for
    nothing with the single-slice pictures that cameras send.
    """

    decoder = "software"
    fallen_back = ""

    def __init__(
        self,
        address: RtspAddress,
        transport: Literal["tcp", "udp"],
        open_timeout_s: float,
        read_timeout_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        self._transport = transport
        self._open_timeout_s = open_timeout_s
        self._read_timeout_s = read_timeout_s
        self._monotonic = monotonic
        self._container: av.container.InputContainer | None = None
        self._packets: Iterator[av.Packet] = iter(())
        self._frame: av.VideoFrame | None = None
        self._to_bgr = ToBgr()
        self._freshness = Freshness()
        self._keyed = False  # a key frame has come: what follows can be decoded
        self._started = False  # a frame has been handed out since `open`
        self._damaged = 0
        self.codec = ""  # of the open stream, by FFmpeg's name
        self.description = StreamInfo("unknown")

    def open(self) -> None:
        started = self._monotonic()
        try:
            self._container = av.open(
                self._address.url,
                format="rtsp",
                options={"rtsp_transport": self._transport, **_OPTIONS},
                timeout=(self._open_timeout_s, self._read_timeout_s),
            )
        # FFmpeg's errors name the URL with its password: they are translated, never passed on.
        except av.FFmpegError as error:
            raise SourceError(self._why(error, self._monotonic() - started)) from None
        if not self._container.streams.video:
            raise SourceError(f"{self._address}: the camera offers no video that can be decoded")
        stream = self._container.streams.video[0]
        codec = stream.codec_context
        if codec is None:
            raise SourceError(f"{self._address}: no decoder for the camera's video format")
        codec.thread_count = 1
        self._packets = self._container.demux(stream)
        self.codec = codec.name
        self.description = StreamInfo(
            f"{codec.name} over {self._transport.upper()}",
            (codec.width, codec.height) if codec.width else None,
            float(stream.average_rate) if stream.average_rate else None,
        )

    def grab(self) -> None:
        self._frame = None
        started = self._monotonic()
        while self._frame is None:
            packet, waited_s = self._read()
            arrived = self._monotonic()
            behind_s = 0.0
            if packet.pts is not None and packet.time_base is not None:
                time_s = float(packet.pts * packet.time_base)
                behind_s = self._freshness.behind_s(time_s, arrived, waited_s)
            if behind_s > SKIP_AHEAD_S:
                self._keyed = False
            self._keyed = self._keyed or packet.is_keyframe
            if self._keyed:
                self._decode(packet, self._freshness.is_fresh(behind_s))
            if self._frame is None:
                self._give_up_after(arrived - started)
        self._started = True

    def retrieve(self) -> Image:
        if self._frame is None:
            raise SourceError(f"{self._address}: no frame was grabbed")
        return self._to_bgr(self._frame)

    def close(self) -> None:
        if self._damaged:
            LOG.info("%s: %d damaged pictures were skipped", self._address, self._damaged)
            self._damaged = 0
        self._packets, self._frame = iter(()), None
        if self._container is not None:
            self._container.close()
            self._container = None

    def _read(self) -> tuple[av.Packet, float]:
        """The next packet, and how long it took. Raises `SourceError` on a stall and at the end."""
        asked = self._monotonic()
        packet, failure = None, ""
        try:
            packet = next(self._packets, None)
        except av.FFmpegError as error:
            failure = error.strerror or type(error).__name__
        waited_s = self._monotonic() - asked
        # Asked before the packet is looked at: once a read has timed out, FFmpeg hands out what its
        # parser still held, a picture as old as the timeout, and reports the failure only then.
        if waited_s >= self._read_timeout_s:
            raise SourceError(f"{self._address}: no data for {self._read_timeout_s:g} s")
        if failure:
            raise SourceError(f"{self._address}: the connection was lost ({failure})")
        if packet is None or packet.size == 0:
            raise SourceError(f"{self._address}: the camera ended the stream")
        return packet, waited_s

    def _decode(self, packet: av.Packet, fresh: bool) -> None:
        """Decode, and keep the newest picture where it is live and whole."""
        try:
            for frame in packet.decode():
                if frame.is_corrupt:
                    self._damaged += 1
                elif fresh:
                    self._frame = frame
        except av.FFmpegError:
            self._damaged += 1  # a lost packet breaks a picture, not the stream

    def _give_up_after(self, elapsed_s: float) -> None:
        """Raises `SourceError` where packets have come for too long without a picture to use."""
        if not (self._keyed and self._started):
            if elapsed_s > max(KEYFRAME_WAIT_S, self._read_timeout_s):
                raise SourceError(f"{self._address}: no usable picture in {KEYFRAME_WAIT_S:g} s")
        elif elapsed_s > self._read_timeout_s:
            raise SourceError(
                f"{self._address}: no usable picture for {self._read_timeout_s:g} s: "
                "they come damaged, or faster than they can be decoded"
            )

    def _why(self, error: av.FFmpegError, elapsed_s: float) -> str:
        for kind, sentence in _OPENING_ERRORS:
            if isinstance(error, kind):
                return f"{self._address}: {sentence}"
        if error.errno == errno.EPROTONOSUPPORT:
            return f"{self._address}: the camera does not offer transport {self._transport}"
        if elapsed_s >= self._open_timeout_s:
            return f"{self._address}: no answer within {self._open_timeout_s:g} s"
        return f"{self._address}: cannot be opened ({error.strerror or type(error).__name__})"
