"""Hardware decoding with real GStreamer, where stand-ins take the place of NVIDIA's elements.

They decode with FFmpeg inside and hand their pictures on under NVIDIA's kind of memory, so that the
pipelines link and negotiate as on a Jetson. What NVIDIA's own elements do beyond that is not shown.
"""

import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
import pytest
from pipeline_worker import PipelineWorker
from rtsp_server import RtspServer, encoded, pattern, shapes

from edge.capture.address import RtspAddress
from edge.capture.pipelines import mjpg_pipeline
from edge.capture.rtsp import RtspSource
from edge.capture.shapes import ShapesCamera
from edge.capture.source import StreamInfo

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

AUDIO = "audiotestsrc is-live=true ! alawenc ! rtppcmapay name=pay0 pt=8"


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PipelineWorker]:
    worker = PipelineWorker(tmp_path_factory.mktemp("worker"))
    yield worker
    worker.close()


@pytest.fixture
def worker(process: PipelineWorker) -> PipelineWorker:
    """The process, as new: it takes a second to start."""
    process.nvidia_is("work")
    process.call("forget")
    return process


def is_the_ball(picture: np.ndarray[Any, Any]) -> bool:
    """The pattern: black with a white ball, and nothing between but the ball's edge."""
    white, black = (picture > 190).mean(), (picture < 60).mean()
    return bool(0.002 < white < 0.1 and black > 0.9)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_an_rtsp_stream_is_decoded_by_nvidia(
    worker: PipelineWorker, codec: str, transport: Literal["tcp", "udp"], tmp_path: Path
) -> None:
    with RtspServer({"cam": shapes(tmp_path, codec, frames=30)}) as server:
        opened = worker.call("open", source=server.url("cam"), transport=transport)
        worker.call("grab", number=10)
        picture = worker.picture()
        worker.call("close")
    name = {"h264": "h264", "h265": "hevc"}[codec]
    assert opened["decoder"] == "nvidia"
    assert opened["fallen_back"] == ""
    assert opened["stream"] == f"{name} over {transport.upper()} 640x360 at 15 fps"
    assert picture.shape == (360, 640, 3)
    scene = ShapesCamera(1, objects=5)
    differences = [
        np.abs(picture.astype(int) - scene.frame(number).image).mean() for number in range(30)
    ]
    assert min(differences) < 12  # compression at x264's fastest, in grey levels
    assert max(differences) > min(differences)


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_waits_for_a_key_frame_rather_than_deliver_a_grey_picture(
    worker: PipelineWorker, codec: str
) -> None:
    with (
        RtspServer({"cam": pattern(codec, gop=50)}) as server,
        closing(RtspSource(RtspAddress(server.url("cam")), "tcp", 5.0, 5.0)) as first,
    ):
        first.open()
        for _ in range(10):
            first.grab()
        worker.call("open", source=server.url("cam"))  # in the middle of a group of pictures
        picture = worker.picture()
        worker.call("close")
    assert ((picture > 60) & (picture < 190)).mean() < 0.01
    assert is_the_ball(picture)


def test_rows_that_gstreamer_pads_come_out_straight(worker: PipelineWorker) -> None:
    with RtspServer({"cam": pattern(width=322, height=240)}) as server:
        worker.call("open", source=server.url("cam"))
        worker.call("grab")
        picture = worker.picture()
        worker.call("close")
    assert picture.shape == (240, 322, 3)
    columns = np.flatnonzero((picture[:, :, 0] > 128).any(axis=0))
    rows = np.flatnonzero((picture[:, :, 0] > 128).any(axis=1))
    assert abs((columns[-1] - columns[0]) - (rows[-1] - rows[0])) <= 2  # a ball, not a slanted one


def test_only_the_newest_picture_waits(worker: PipelineWorker) -> None:
    with RtspServer({"cam": pattern()}) as server:
        worker.call("open", source=server.url("cam"))
        worker.call("grab")
        time.sleep(1.0)  # a consumer that is slow: 25 pictures go by
        times = worker.call("grab", number=3)["times"]
        worker.call("close")
    assert times[2] - times[1] > 0.02  # the second of them had to be waited for


def test_a_stream_that_lists_audio_first(worker: PipelineWorker) -> None:
    video = (
        f"videotestsrc is-live=true pattern=ball ! video/x-raw,framerate=25/1 {encoded(pay='pay1')}"
    )
    with RtspServer({"cam": f"{AUDIO} {video}"}) as server:
        opened = worker.call("open", source=server.url("cam"))
        worker.call("grab", number=5)
        picture = worker.picture()
        worker.call("close")
    assert opened["decoder"] == "nvidia"
    assert is_the_ball(picture)


@pytest.mark.parametrize("auth", ["basic", "digest"])
@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("viewer", "pa/ss@w:d% !$&"),
        ("view er", "a\"b'c\\d!e\\"),
        ("view'er", '"quoted"'),
        ("NULL", "ümläut ! fakesink"),
    ],
)
def test_credentials_of_all_kinds_open_the_stream(
    worker: PipelineWorker, user: str, password: str, auth: str
) -> None:
    with RtspServer({"cam": pattern()}, user=user, password=password, auth=auth) as server:
        credentials = f"{quote(user, safe='')}:{quote(password, safe='')}"
        opened = worker.call("open", source=server.url("cam", credentials))
        assert opened.get("error") is None
        grabbed = worker.call("grab", number=2)
        worker.call("close")
    assert opened["decoder"] == "nvidia"
    assert "error" not in grabbed


def test_passwords_stay_secret(worker: PipelineWorker) -> None:
    with RtspServer({"cam": pattern()}, user="viewer", password="right") as server:
        refused = worker.call("open", source=server.url("cam", "viewer:Wr0ngSecret"))
    own = worker.call("open", source="gstreamer:rtspsrc location=rtsp://u:Wr0ngSecret@[ ! fakesink")
    broken = worker.call("open", source='gstreamer:rtspsrc latency=Wr0ngSecret ! "Wr0ngSecret')
    assert refused["error"].endswith("the camera refused the user name or the password (401)")
    assert "error" in own
    assert broken["error"].endswith("is not a valid GStreamer pipeline (gst-launch-1.0 says why)")
    assert "Wr0ngSecret" not in f"{refused}{own}{broken}{worker.printed}"


@pytest.fixture
def refusing_server() -> Iterator[str]:
    """host:port of an HTTP server that lets nobody in."""

    class Refuse(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(401)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuse)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    "pipeline",
    [
        "souphttpsrc location=http://viewer:Wr0ngSecret@{} ! multipartdemux ! jpegdec",
        "souphttpsrc location=http://{}/x?token=Wr0ngSecret ! multipartdemux ! jpegdec",
        "uridecodebin uri=http://viewer:Wr0ngSecret@{}",
        "uridecodebin uri=rtsp:/viewer:Wr0ngSecret@{}/x",
        "filesrc location=http://viewer:Wr0ngSecret@{} ! jpegdec",
    ],
)
def test_addresses_in_a_pipeline_stay_secret(
    worker: PipelineWorker, refusing_server: str, pipeline: str
) -> None:
    opened = worker.call("open", source=f"gstreamer:{pipeline.format(refusing_server)}")
    failed = opened if "error" in opened else worker.call("grab", number=1)
    assert failed["error"].startswith(f"gstreamer:{pipeline.split(maxsplit=1)[0]} ***")
    assert "Wr0ngSecret" not in f"{opened}{failed}{worker.printed}"


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_frozen_camera_is_noticed_in_time(worker: PipelineWorker, transport: str) -> None:
    with RtspServer({"cam": pattern()}) as server:
        worker.call("open", source=server.url("cam"), transport=transport)
        worker.call("grab", number=20)
        server.freeze()
        frozen = time.monotonic()
        ended = worker.call("grab", number=1000)
        noticed_s = time.monotonic() - frozen
        worker.call("close")
        closed_s = time.monotonic() - frozen
    assert ended["error"].endswith("no data for 1 s")
    assert noticed_s < 1.8
    assert closed_s < 4.0
    assert all(at - frozen < 0.3 for at in ended["times"]), "an old picture came as a new one"


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_camera_comes_back(worker: PipelineWorker, transport: str) -> None:
    with RtspServer({"cam": pattern()}) as server:
        worker.call("start", source=server.url("cam"), transport=transport)
        first = worker.call("frame")
        server.kill()
        deadline = time.monotonic() + 20
        while not (lost := worker.call("look"))["reason"]:
            assert time.monotonic() < deadline
        server.start()
        again = worker.call("frame")
        while again["reason"] or again["id"] <= first["id"] + 1:  # a frame may have waited
            again = worker.call("frame")
        stopped = worker.call("stop")
    assert first["decoder"] == again["decoder"] == "nvidia"
    assert first["state"] == again["state"] == "online"
    assert lost["fallen_back"] == again["fallen_back"] == "", "the decoder is not to blame"
    assert again["info"] == 1
    assert is_the_ball(PipelineWorker.load(again))
    assert stopped["ended"]


@pytest.mark.parametrize(("how", "why"), [("refuse", "cannot be started"), ("silent", "no data")])
def test_a_decoder_that_fails_is_replaced_and_tried_again(
    worker: PipelineWorker, how: str, why: str
) -> None:
    worker.nvidia_is(how)
    with RtspServer({"cam": pattern()}) as server:
        worker.call("start", source=server.url("cam"))
        fallen = worker.call("frame")
        assert fallen["decoder"] == "software"
        assert fallen["state"] == "degraded"
        assert re.search(why, fallen["fallen_back"])
        assert fallen["info"] == 1
        assert is_the_ball(PipelineWorker.load(fallen))
        warnings = [line for line in fallen["logged"] if line.startswith("WARNING")]
        assert warnings == [f"WARNING camera dock: decoded in software: {fallen['fallen_back']}"]
        worker.nvidia_is("work")
        assert worker.call("frame")["decoder"] == "software", "it is not tried at once"
        worker.call("pass_time", seconds=61)
        deadline = time.monotonic() + 20
        while (well := worker.call("frame"))["decoder"] != "nvidia":
            assert time.monotonic() < deadline
        worker.call("stop")
    assert well["state"] == "online"
    assert well["reconnects"] == 0
    assert well["fallen_back"] == ""
    assert well["info"] == 1


def test_a_camera_that_is_away_is_no_failure_of_the_decoder(worker: PipelineWorker) -> None:
    with RtspServer({"cam": pattern()}) as server:
        url = server.url("cam")
    for _ in range(3):
        assert "connection refused" in worker.call("open", source=url)["error"]
    with server:
        opened = worker.call("open", source=url)
        worker.call("close")
    assert opened["decoder"] == "nvidia"


def test_software_is_software(worker: PipelineWorker) -> None:
    with RtspServer({"cam": pattern()}) as server:
        opened = worker.call("open", source=server.url("cam"), decoder="software")
        worker.call("close")
    assert (opened["decoder"], opened["fallen_back"]) == ("software", "")


def test_rtsps(worker: PipelineWorker, tmp_path: Path) -> None:
    key, certificate, both = (tmp_path / name for name in ("key.pem", "cert.pem", "both.pem"))
    new_certificate = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
    subprocess.run(
        [*new_certificate.split(), "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    with RtspServer({"cam": pattern()}, tls=both) as server:
        opened = worker.call("open", source=server.url("cam"))
        worker.call("grab", number=3)
        picture = worker.picture()
        worker.call("close")
    assert opened["decoder"] == "nvidia"
    assert is_the_ball(picture)


@pytest.mark.parametrize(("sensor", "bgr"), [(0, (0, 0, 255)), (1, (255, 0, 0))])
def test_the_board_s_own_camera(
    worker: PipelineWorker, sensor: int, bgr: tuple[int, int, int]
) -> None:
    opened = worker.call("open", source=f"csi:{sensor}?size=320x180&fps=20")
    worker.call("grab", number=2)
    times = worker.call("grab", number=11)["times"]
    picture = worker.picture()
    worker.call("close")
    assert opened["decoder"] == "nvargus"
    assert picture.shape == (180, 320, 3)
    assert np.abs(picture.astype(int) - bgr).max() < 12  # through NV12
    assert times[10] - times[0] > 0.4  # 20 a second


@pytest.mark.parametrize("end", ["", " ! appsink", " ! videoconvert ! appsink max-buffers=9", " !"])
def test_a_pipeline_of_the_user_s_own(worker: PipelineWorker, end: str) -> None:
    pipeline = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=322,height=240"
    opened = worker.call("open", source=f"gstreamer:{pipeline}{end}")
    worker.call("grab", number=3)
    picture = worker.picture()
    worker.call("close")
    assert opened["decoder"] == "gstreamer"
    assert picture.shape == (240, 322, 3)
    assert is_the_ball(picture)


def test_a_pipeline_that_ends_or_cannot_be_built_is_named(worker: PipelineWorker) -> None:
    worker.call("open", source="gstreamer:videotestsrc num-buffers=3")
    assert worker.call("grab", number=9)["error"] == (
        "gstreamer:videotestsrc ***: the stream has ended"
    )
    worker.call("close")
    unknown = worker.call("open", source="gstreamer:nosuchsrc ! videoconvert")
    assert unknown["error"] == 'gstreamer:nosuchsrc ! videoconvert: no element "nosuchsrc"'


@pytest.mark.parametrize("decoder", ["nvv4l2decoder", "nvjpegdec"])
def test_mjpg_by_nvidia(worker: PipelineWorker, decoder: str) -> None:
    pipeline = mjpg_pipeline("/dev/video97", StreamInfo("MJPG", (320, 240), 30.0), decoder)
    source, rest = pipeline.split(" ! ", 1)
    assert source.startswith("v4l2src ")  # GStreamer cannot be given a device that is not there
    camera = "videotestsrc is-live=true pattern=ball ! jpegenc"
    assert worker.call("run", pipeline=f"{camera} ! {rest}").get("error") is None
    worker.call("grab", number=3)
    picture = worker.picture()
    worker.call("close")
    assert is_the_ball(picture)
