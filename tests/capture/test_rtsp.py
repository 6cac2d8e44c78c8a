"""RTSP against a real server: what arrives, and what is said when nothing does."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

import av
import numpy as np
import pytest
from rtsp_server import RtspServer, encoded, pattern, shapes

from edge.capture.address import RtspAddress
from edge.capture.rtsp import RtspSource
from edge.capture.shapes import ShapesCamera
from edge.capture.source import SourceError

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

OPEN_TIMEOUT_S, READ_TIMEOUT_S = 5.0, 1.0


def source(
    url: str, transport: Literal["tcp", "udp"] = "tcp", open_timeout_s: float = OPEN_TIMEOUT_S
) -> RtspSource:
    return RtspSource(RtspAddress(url), transport, open_timeout_s, READ_TIMEOUT_S)


@contextmanager
def opened(url: str, transport: Literal["tcp", "udp"] = "tcp") -> Iterator[RtspSource]:
    with closing(source(url, transport)) as camera:
        camera.open()
        yield camera


def opening_error(
    url: str, transport: Literal["tcp", "udp"] = "tcp", open_timeout_s: float = OPEN_TIMEOUT_S
) -> SourceError:
    camera = source(url, transport, open_timeout_s)
    with closing(camera), pytest.raises(SourceError) as raised:
        camera.open()
    return raised.value


def grabs_until_error(camera: RtspSource) -> tuple[list[float], SourceError]:
    """When each frame came, and what ended it."""
    times = []
    for _ in range(1000):
        try:
            camera.grab()
        except SourceError as error:
            return times, error
        times.append(time.monotonic())
    raise AssertionError("the stream goes on")


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_frames_arrive(codec: str, transport: Literal["tcp", "udp"], tmp_path: Path) -> None:
    server = RtspServer({"cam": shapes(tmp_path, codec, frames=30)})
    with server, opened(server.url("cam"), transport) as camera:
        camera.grab()
        image = camera.retrieve()
        for _ in range(20):
            camera.grab()
        description = str(camera.description)
    assert image.shape == (360, 640, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.writeable
    scene = ShapesCamera(1, objects=5)
    differences = [
        np.abs(image.astype(int) - scene.frame(number).image).mean() for number in range(30)
    ]
    assert min(differences) < 12  # compression at x264's fastest, in grey levels
    assert max(differences) > min(differences)
    name = {"h264": "h264", "h265": "hevc"}[codec]
    assert description == f"{name} over {transport.upper()} 640x360 at 15 fps"


def test_frames_arrive_at_the_camera_s_rate_from_the_first_on() -> None:
    with RtspServer({"cam": pattern()}) as server, opened(server.url("cam")) as warm:
        warm.grab()
        with opened(server.url("cam")) as camera:  # the server has been running for a while
            started = time.monotonic()
            for _ in range(51):
                camera.grab()
            elapsed_s = time.monotonic() - started
    # 50 intervals of 40 ms: a burst of old frames at the start would make it shorter.
    assert 1.8 < elapsed_s < 4.5


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_frozen_camera_is_noticed_in_time_and_yields_no_stale_frame(
    transport: Literal["tcp", "udp"],
) -> None:
    with RtspServer({"cam": pattern()}) as server, opened(server.url("cam"), transport) as camera:
        for _ in range(30):
            camera.grab()
        server.freeze()
        frozen = time.monotonic()
        times, error = grabs_until_error(camera)
        noticed_s = time.monotonic() - frozen
    assert str(error).endswith("no data for 1 s")
    assert noticed_s < READ_TIMEOUT_S + 0.5
    assert all(at - frozen < 0.3 for at in times), "a frame from before the stall came as a new one"


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_killed_camera_is_noticed_at_once(transport: Literal["tcp", "udp"]) -> None:
    with RtspServer({"cam": pattern()}) as server, opened(server.url("cam"), transport) as camera:
        for _ in range(30):
            camera.grab()
        server.kill()
        killed = time.monotonic()
        times, error = grabs_until_error(camera)
        noticed_s = time.monotonic() - killed
    assert "127.0.0.1" in str(error)
    assert noticed_s < READ_TIMEOUT_S + 0.5
    assert len(times) <= 3


def test_a_camera_that_sends_audio_first_is_read() -> None:
    audio = "audiotestsrc is-live=true ! alawenc ! rtppcmapay name=pay0 pt=8"
    video = f"videotestsrc is-live=true ! video/x-raw,framerate=25/1 {encoded(pay='pay1')}"
    with RtspServer({"cam": f"{audio} {video}"}) as server, opened(server.url("cam")) as camera:
        for _ in range(10):
            camera.grab()
        assert camera.retrieve().shape == (240, 320, 3)


def test_waits_for_a_key_frame_rather_than_deliver_a_grey_picture() -> None:
    server = RtspServer({"cam": pattern("h265", gop=50)})
    with server, opened(server.url("cam")) as first:
        for _ in range(10):
            first.grab()
        with opened(server.url("cam")) as late:  # in the middle of a group of pictures
            late.grab()
            picture = late.retrieve()
    # The pattern is black with a white ball, and nothing between but the ball's edge.
    between = ((picture > 60) & (picture < 190)).mean()
    assert between < 0.01
    assert (picture < 60).mean() > 0.9


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_credentials_open_the_stream(auth: str) -> None:
    server = RtspServer({"cam": pattern()}, user="viewer", password="pa/ss@w:d%", auth=auth)
    with server, opened(server.url("cam", "viewer:pa%2Fss%40w%3Ad%25")) as camera:
        camera.grab()


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_wrong_credentials_are_named_and_never_shown(
    auth: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with RtspServer({"cam": pattern()}, user="viewer", password="right", auth=auth) as server:
        error = opening_error(server.url("cam", "viewer:Wr0ngSecret"))
    assert str(error) == (
        f"rtsp://***@127.0.0.1:{server.port}/cam: "
        "the camera refused the user name or the password (401)"
    )
    assert error.__cause__ is None
    assert error.__suppress_context__  # FFmpeg's own error names the whole URL
    out, err = capfd.readouterr()
    assert "Wr0ngSecret" not in f"{error}{out}{err}{caplog.text}"


def test_a_missing_path_is_named() -> None:
    with RtspServer({"cam": pattern()}) as server:
        error = opening_error(server.url("other"))
    assert str(error).endswith("the camera has no stream of this path (404)")


def test_a_refused_connection_is_named() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as unused:
        port = unused.getsockname()[1]
    assert str(opening_error(f"rtsp://u:Secret1@127.0.0.1:{port}/cam")) == (
        f"rtsp://***@127.0.0.1:{port}/cam: "
        "connection refused: nothing listens at this address and port"
    )


def test_a_server_that_says_nothing_times_out() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        started = time.monotonic()
        error = opening_error(f"rtsp://u:Secret1@127.0.0.1:{port}/cam", open_timeout_s=1.0)
        elapsed_s = time.monotonic() - started
    assert str(error) == f"rtsp://***@127.0.0.1:{port}/cam: no answer within 1 s"
    assert elapsed_s < 2.0


@pytest.mark.parametrize(("asked", "offered"), [("udp", "tcp"), ("tcp", "udp")])
def test_never_falls_back_to_the_other_transport(
    asked: Literal["tcp", "udp"], offered: Literal["tcp", "udp"]
) -> None:
    with RtspServer({"cam": pattern()}, only=offered) as server:
        with opened(server.url("cam"), offered) as camera:
            camera.grab()
        error = opening_error(server.url("cam"), asked)
    assert str(error).endswith(f"the camera does not offer transport {asked}")


def test_damaged_packets_do_not_end_the_stream() -> None:
    def lossy(packets: Iterator[av.Packet]) -> Iterator[av.Packet]:
        for number, packet in enumerate(packets):
            if number % 10 == 7:  # the second half of a picture's data is noise
                data = bytes(packet)
                half = len(data) // 2
                damaged = av.Packet(data[:half] + b"\xff\x00\x55" * (half // 3))
                damaged.stream, damaged.time_base = packet.stream, packet.time_base
                damaged.pts, damaged.dts = packet.pts, packet.dts
                yield damaged
            elif number % 10 != 3:  # lost as a whole
                yield packet

    with RtspServer({"cam": pattern()}) as server, opened(server.url("cam")) as camera:
        camera._packets = lossy(camera._packets)
        for _ in range(60):
            camera.grab()
        assert camera.retrieve().shape == (480, 640, 3)
        assert camera._damaged > 0


def test_reads_rtsps(tmp_path: Path) -> None:
    key, certificate, both = (tmp_path / name for name in ("key.pem", "cert.pem", "both.pem"))
    new_certificate = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
    subprocess.run(
        [*new_certificate.split(), "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    with RtspServer({"cam": pattern()}, tls=both) as server, opened(server.url("cam")) as camera:
        assert server.url("cam").startswith("rtsps://")
        camera.grab()
        assert camera.retrieve().shape == (480, 640, 3)
