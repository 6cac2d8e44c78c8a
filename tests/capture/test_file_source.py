"""Video files, real ones, made here."""

from pathlib import Path

import av
import numpy as np
import pytest

from edge.capture.address import FileAddress
from edge.capture.file import FileSource
from edge.capture.source import EndOfSource, SourceError


def make_video(path: Path, times_ms: list[int]) -> Path:
    """One uniform grey picture for each time; picture n has level 20 n + 10."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=1000)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.bit_rate = 1_000_000
        for number, time_ms in enumerate(times_ms):
            grey = np.full((48, 64, 3), 20 * number + 10, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="bgr24")
            frame.pts = time_ms
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return make_video(tmp_path / "clip.mp4", [0, 40, 80, 280, 320])


class Waits:
    """A wait that takes no time, on a clock that goes on by as much."""

    def __init__(self) -> None:
        self.now = 50.0
        self.taken: list[float] = []

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.taken.append(round(seconds, 3))


def levels(source: FileSource, frames: int) -> list[int]:
    read = []
    for _ in range(frames):
        source.grab()
        read.append(round((int(source.retrieve()[24, 32, 1]) - 10) / 20))
    return read


def test_plays_at_the_file_s_own_time(video: Path) -> None:
    waits = Waits()
    source = FileSource(FileAddress(video), waits.wait, lambda: waits.now)
    source.open()
    assert levels(source, 5) == [0, 1, 2, 3, 4]
    assert waits.taken == [0.04, 0.04, 0.2, 0.04]
    with pytest.raises(EndOfSource):
        source.grab()
    source.close()


def test_pace_none_never_waits(video: Path) -> None:
    waits = Waits()
    source = FileSource(FileAddress(video, pace=False), waits.wait, lambda: waits.now)
    source.open()
    assert levels(source, 5) == [0, 1, 2, 3, 4]
    with pytest.raises(EndOfSource):
        source.grab()
    assert waits.taken == []
    source.close()


def test_loops(video: Path) -> None:
    waits = Waits()
    source = FileSource(FileAddress(video, loop=True), waits.wait, lambda: waits.now)
    source.open()
    assert levels(source, 12) == [0, 1, 2, 3, 4] * 2 + [0, 1]
    assert len(waits.taken) == 11
    source.close()


def own_times(source: FileSource, frames: int) -> list[float | None]:
    times = [source.grab() for _ in range(frames)]
    return [None if time is None else round(time, 3) for time in times]


def test_pace_none_tells_the_file_s_own_time(video: Path) -> None:
    source = FileSource(FileAddress(video, pace=False), lambda seconds: None)
    source.open()
    assert own_times(source, 5) == [0.0, 0.04, 0.08, 0.28, 0.32]
    source.close()


def test_a_paced_file_has_no_time_of_its_own(video: Path) -> None:
    source = FileSource(FileAddress(video), lambda seconds: None)
    source.open()
    assert own_times(source, 2) == [None, None]
    source.close()


def test_own_time_goes_on_over_the_seam_by_one_frame(tmp_path: Path) -> None:
    path = make_video(tmp_path / "clip.mp4", [0, 40, 80])
    source = FileSource(FileAddress(path, loop=True, pace=False), lambda seconds: None)
    source.open()
    assert source.description.fps is not None
    second_s = 0.08 + 1 / source.description.fps
    third_s = 2 * second_s
    starts_s = [0.0] * 3 + [second_s] * 3 + [third_s] * 3
    expected_s = [start + after for start, after in zip(starts_s, [0, 0.04, 0.08] * 3, strict=True)]
    assert own_times(source, 9) == pytest.approx(expected_s, abs=1e-3)
    source.close()


def test_own_time_of_a_file_without_timestamps_goes_by_its_rate(tmp_path: Path) -> None:
    path = tmp_path / "clip.h264"  # a bare stream: its frames have no presentation time
    with av.open(str(path), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for level in (10, 30, 50):
            grey = np.full((48, 64, 3), level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="bgr24")))
        container.mux(stream.encode(None))
    source = FileSource(FileAddress(path, pace=False), lambda seconds: None)
    source.open()
    assert source.description.fps == 25
    assert own_times(source, 3) == [0.0, 0.04, 0.08]
    source.close()


def test_a_picture_is_bgr_and_the_caller_s_own(tmp_path: Path) -> None:
    path = tmp_path / "blue.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 62, 46, "yuv420p"  # not a multiple of 16
        blue = np.zeros((46, 62, 3), np.uint8)
        blue[..., 0] = 200
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(blue, format="bgr24")))
        container.mux(stream.encode(None))
    source = FileSource(FileAddress(path, pace=False), lambda seconds: None)
    source.open()
    source.grab()
    image = source.retrieve()
    assert image.shape == (46, 62, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert np.abs(image[20, 30].astype(int) - (200, 0, 0)).max() < 12
    image[:] = 7  # must not reach into the decoder
    source.grab()
    assert np.abs(source.retrieve()[20, 30].astype(int) - (200, 0, 0)).max() < 12
    source.close()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    source = FileSource(FileAddress(tmp_path / "none.mp4"), lambda seconds: None)
    with pytest.raises(SourceError, match=r"none\.mp4: cannot be read as video \(no such file"):
        source.open()


@pytest.mark.parametrize("content", [b"", b"these are words and no video\n" * 50])
def test_a_file_that_is_no_video_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.mp4"
    path.write_bytes(content)
    source = FileSource(FileAddress(path), lambda seconds: None)
    with pytest.raises(SourceError, match=r"notes\.mp4: cannot be read as video \("):
        source.open()


def test_a_file_that_is_cut_off_ends_there(tmp_path: Path) -> None:
    path = tmp_path / "clip.ts"
    noise = np.random.default_rng(1).integers(0, 256, (12, 48, 64, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for picture in noise:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    source = FileSource(FileAddress(path, pace=False), lambda seconds: None)
    source.open()
    frames = 0
    try:
        while frames < 12:
            source.grab()
            frames += 1
    except EndOfSource:
        pass
    assert 0 < frames < 12
    source.close()
