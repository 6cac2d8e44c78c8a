"""A real RTSP server for the tests of any folder: ``from rtsp_server import RtspServer``.

Needs the Debian packages python3-gi, gir1.2-gst-rtsp-server-1.0 and GStreamer's plugin sets; rtsps
also glib-networking. All of it listens on 127.0.0.1 only.
"""

import os
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal

import cv2
import pytest

from edge.capture.shapes import ShapesCamera

_SCRIPT = Path(__file__).parent / "capture" / "gst_rtsp_server.py"
_ENCODERS = {
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max={gop} "
    "! rtph264pay name={pay} pt=96 config-interval=1",
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast key-int-max={gop} "
    "! rtph265pay name={pay} pt=96 config-interval=1",
}


def encoded(codec: str = "h264", gop: int = 25, pay: str = "pay0") -> str:
    """The end of a pipeline: 8-bit 4:2:0, encoded as cameras do, packed into RTP."""
    tail = _ENCODERS[codec].format(gop=gop, pay=pay)
    return f"! videoconvert ! video/x-raw,format=I420 ! {tail}"


def pattern(codec: str = "h264", width: int = 640, height: int = 480, gop: int = 25) -> str:
    """A live ball on black, 25 fps."""
    size = f"video/x-raw,width={width},height={height},framerate=25/1"
    return f"videotestsrc is-live=true pattern=ball ! {size} {encoded(codec, gop)}"


def shapes(
    folder: Path, codec: str = "h264", frames: int = 60, fps: int = 15, seed: int = 1
) -> str:
    """The synthetic camera's first ``frames`` frames, endlessly; pictures go to ``folder``."""
    camera = ShapesCamera(seed, fps=fps, objects=5)
    for number in range(frames):
        cv2.imwrite(str(folder / f"{number:05d}.png"), camera.frame(number).image)
    caps = f"image/png,framerate={fps}/1"
    return (
        f"multifilesrc location={folder}/%05d.png start-index=0 stop-index={frames - 1} loop=true "
        f"caps={caps} ! pngdec ! videoconvert ! identity sync=true {encoded(codec, gop=fps)}"
    )


class RtspServer:
    """``with RtspServer({"cam": pattern()}) as server: ... server.url("cam")``.

    Credentials are demanded where ``user`` is given; ``tls`` is a PEM file with certificate and
    key; ``only`` is the one transport on offer.
    """

    def __init__(
        self,
        mounts: dict[str, str],
        user: str | None = None,
        password: str | None = None,
        auth: str = "digest",
        tls: Path | None = None,
        only: Literal["tcp", "udp"] | None = None,
    ) -> None:
        self._mounts = [f"{path}={launch}" for path, launch in mounts.items()]
        self._options: list[str] = []
        if user is not None and password is not None:
            self._options += ["--user", user, "--password", password, "--auth", auth]
        if tls is not None:
            self._options += ["--tls", str(tls)]
        if only is not None:
            self._options += ["--only", only]
        self._scheme = "rtsp" if tls is None else "rtsps"
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def __enter__(self) -> "RtspServer":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.kill()

    def url(self, mount: str, credentials: str = "") -> str:
        """``credentials``: ``user:password``, percent-encoded."""
        at = f"{credentials}@" if credentials else ""
        return f"{self._scheme}://{at}127.0.0.1:{self.port}/{mount}"

    def start(self) -> None:
        """Start on a free port, or again on the same one."""
        self._process = subprocess.Popen(
            [
                *("/usr/bin/python3", str(_SCRIPT), "--port", str(self.port)),
                *self._options,
                *self._mounts,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "GST_DEBUG": "0"},
        )
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], 30)
        line = self._process.stdout.readline() if readable else ""
        assert line.startswith("READY"), f"the RTSP server did not start: {line!r}"
        self.port = int(line.split()[1])

    def freeze(self) -> None:
        """Stop sending without closing anything, as a camera that hangs."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Gone at once, as a camera that loses its power."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait(10)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@pytest.fixture
def shapes_stream(tmp_path: Path) -> Iterator[RtspServer]:
    """A server of the synthetic camera's pictures as H.264: ``shapes_stream.url("shapes")``."""
    with RtspServer({"shapes": shapes(tmp_path)}) as server:
        yield server
