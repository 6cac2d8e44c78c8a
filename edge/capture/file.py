"""Video files, at their own speed or as fast as they are used."""

import time
from collections.abc import Callable, Iterator

import av

from edge.capture.address import FileAddress
from edge.capture.bgr import ToBgr
from edge.capture.source import EndOfSource, SourceError, StreamInfo, Wait
from edge.capture.timing import Pace
from edge.frame import Image

LONGEST_GAP_S = 10.0  # a longer hole in a file's timestamps is passed over in one frame's time


class FileSource:
    """The frames of one file in order. What cannot be decoded in it is passed over.

    Without pace it runs on the file's own time, which goes on through all rounds of a loop.
    """

    decoder = "software"
    fallen_back = ""

    def __init__(
        self, address: FileAddress, wait: Wait, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = address.path
        self._loop = address.loop
        self._pace = Pace(wait, monotonic) if address.pace else None
        self._container: av.container.InputContainer | None = None
        self._frames: Iterator[av.VideoFrame] = iter(())
        self._frame: av.VideoFrame | None = None
        self._time_s: float | None = None
        self._own_s: float | None = None  # of the grabbed frame, since the first; without pace only
        self._frame_gap_s = 1 / 25
        self._to_bgr = ToBgr()
        self.description = StreamInfo("unknown")

    def open(self) -> None:
        try:
            self._container = av.open(str(self._path))
        except av.FFmpegError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise SourceError(f"{self._path}: cannot be read as video ({reason})") from None
        if not self._container.streams.video or self._container.streams.video[0].codec is None:
            raise SourceError(f"{self._path}: holds no video that can be decoded")
        stream = self._container.streams.video[0]
        stream.thread_type = "AUTO"  # nothing is late in a file: decode ahead on all cores
        if stream.average_rate:
            self._frame_gap_s = float(1 / stream.average_rate)
        self._time_s = None
        self._frames = self._decoded(self._container, stream)
        codec = stream.codec_context
        self.description = StreamInfo(
            codec.name, (codec.width, codec.height), 1 / self._frame_gap_s
        )

    def grab(self) -> float | None:
        self._frame = next(self._frames, None)
        if self._frame is None:
            self._frame = self._first_of_next_round()
        gap_s = self._gap_s(self._frame.time)
        if self._pace is not None:
            self._pace.step(gap_s)
        else:
            self._own_s = 0.0 if self._own_s is None else self._own_s + gap_s
        return self._own_s

    def retrieve(self) -> Image:
        if self._frame is None:
            raise SourceError(f"{self._path}: no frame was grabbed")
        return self._to_bgr(self._frame)

    def close(self) -> None:
        self._frames, self._frame = iter(()), None
        if self._container is not None:
            self._container.close()
            self._container = None

    def _first_of_next_round(self) -> av.VideoFrame:
        """Raises `EndOfSource`, or `SourceError` for a file without a single picture."""
        if not self._loop:
            raise EndOfSource
        self.close()
        self.open()  # rather than seek: some containers cannot
        frame = next(self._frames, None)
        if frame is None:
            raise SourceError(f"{self._path}: holds no picture that can be decoded")
        return frame

    def _gap_s(self, time_s: float | None) -> float:
        """Seconds between this frame and the last, by the file's own timestamps."""
        last, self._time_s = self._time_s, time_s
        if time_s is None or last is None or not 0 < time_s - last <= LONGEST_GAP_S:
            return self._frame_gap_s
        return time_s - last

    @staticmethod
    def _decoded(
        container: av.container.InputContainer, stream: av.VideoStream
    ) -> Iterator[av.VideoFrame]:
        try:
            for packet in container.demux(stream):
                try:
                    yield from packet.decode()
                except av.FFmpegError:
                    continue
        except av.FFmpegError:
            return  # cut off in the middle: the file ends here
