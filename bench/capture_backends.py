"""OpenCV's FFmpeg against PyAV on a real RTSP server: the figures in docs/capture.md.

    python bench/capture_backends.py

Needs the packages of the RTSP tests. Each measurement runs in a process of its own; the picture is
1920x1080 at 25 fps, encoded beforehand, so that the server's own work is small.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import av
import cv2

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from rtsp_server import RtspServer, pattern

from edge.capture.address import RtspAddress
from edge.capture.rtsp import RtspSource
from edge.capture.shapes import ShapesCamera
from edge.capture.source import SourceError

OPEN_TIMEOUT_S, READ_TIMEOUT_S = 3.0, 2.0
WARM_UP, FRAMES = 25, 150


class Backend(Protocol):
    def open(self) -> bool: ...
    def read(self) -> bool: ...


class OpenCv:
    def __init__(self, url: str, transport: str) -> None:
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = f"rtsp_transport;{transport}"
        self._url = url
        self._capture = cv2.VideoCapture()

    def open(self) -> bool:
        timeouts = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            int(OPEN_TIMEOUT_S * 1000),
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            int(READ_TIMEOUT_S * 1000),
        ]
        return bool(self._capture.open(self._url, cv2.CAP_FFMPEG, timeouts))

    def read(self) -> bool:
        return bool(self._capture.read()[0])


class PyAv:
    """What the daemon uses."""

    def __init__(self, url: str, transport: str) -> None:
        self._source = RtspSource(RtspAddress(url), transport, OPEN_TIMEOUT_S, READ_TIMEOUT_S)

    def open(self) -> bool:
        try:
            self._source.open()
        except SourceError:
            return False
        return True

    def read(self) -> bool:
        try:
            self._source.grab()
        except SourceError:
            return False
        self._source.retrieve()
        return True


BACKENDS = {"opencv": OpenCv, "pyav": PyAv}


def cpu(backend: Backend, server: RtspServer) -> dict[str, float]:
    """CPU time of one 1080p frame, BGR conversion included, and how evenly frames come."""
    started = time.perf_counter()
    backend.open()
    backend.read()
    first_s = time.perf_counter() - started
    for _ in range(WARM_UP):
        backend.read()
    cpu_s, times = time.process_time(), []
    for _ in range(FRAMES):
        backend.read()
        times.append(time.perf_counter())
    cpu_s = time.process_time() - cpu_s
    gaps = [b - a for a, b in pairwise(times)]
    return {
        "first_frame_ms": first_s * 1e3,
        "cpu_ms_per_frame": cpu_s / FRAMES * 1e3,
        "gap_median_ms": statistics.median(gaps) * 1e3,
        "gap_max_ms": max(gaps) * 1e3,
    }


def stall(backend: Backend, server: RtspServer) -> dict[str, float]:
    """The server is stopped: how long until that is told, and how many frames come after it."""
    return _fault(backend, server.freeze)


def death(backend: Backend, server: RtspServer) -> dict[str, float]:
    return _fault(backend, server.kill)


def _fault(backend: Backend, fault: Callable[[], None]) -> dict[str, float]:
    backend.open()
    for _ in range(50):
        backend.read()
    fault()
    started, late = time.perf_counter(), 0
    while backend.read():
        late += time.perf_counter() - started > 0.5
    return {"noticed_ms": (time.perf_counter() - started) * 1e3, "stale_frames": float(late)}


def silent(backend: Backend, server: RtspServer) -> dict[str, float]:
    started = time.perf_counter()
    assert not backend.open()
    return {"gave_up_ms": (time.perf_counter() - started) * 1e3}


MEASUREMENTS = {"cpu": cpu, "stall": stall, "death": death}


def encode(path: Path, codec: str) -> None:
    """12 s of the synthetic camera at 1080p."""
    camera = ShapesCamera(3, 1920, 1080, fps=25.0, objects=6)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        stream.bit_rate, stream.gop_size = 4_000_000, 50
        stream.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "x265-params": "log-level=1",
        }
        pictures = [camera.frame(number).image for number in range(50)]
        for number in range(300):  # back and forth: no jump
            turn = number % 98
            picture = pictures[turn if turn < 50 else 98 - turn]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))


def measure(what: str, name: str, transport: str, mounts: dict[str, str]) -> dict[str, float]:
    if what == "silent":
        listener = socket.create_server(("127.0.0.1", 0))
        url = f"rtsp://127.0.0.1:{listener.getsockname()[1]}/cam"
        return silent(BACKENDS[name](url, transport), RtspServer({}))
    with RtspServer(mounts) as server:
        return MEASUREMENTS[what](BACKENDS[name](server.url("cam"), transport), server)


def report(what: str, label: str, transport: str, mounts: dict[str, str]) -> None:
    for name in BACKENDS:
        arguments = json.dumps([what, name, transport, mounts])
        run = [sys.executable, __file__, "--measure", arguments]
        figures = json.loads(subprocess.run(run, check=True, stdout=subprocess.PIPE).stdout)
        shown = "  ".join(f"{key} {value:.1f}" for key, value in figures.items())
        print(f"{label:24} {name:7} {shown}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(*json.loads(args.measure))))
        return
    print(f"PyAV {av.__version__}, OpenCV {cv2.__version__}, {os.cpu_count()} CPUs")
    with tempfile.TemporaryDirectory() as folder:
        for codec, parser_, payloader in (
            ("libx264", "h264parse", "rtph264pay"),
            ("libx265", "h265parse", "rtph265pay"),
        ):
            clip = Path(folder) / f"{codec}.mp4"
            encode(clip, codec)
            launch = (
                f"filesrc location={clip} ! qtdemux ! {parser_} config-interval=1 "
                f"! {payloader} name=pay0 pt=96"
            )
            report("cpu", f"1080p25 {codec} tcp", "tcp", {"cam": launch})
    live = {"cam": pattern()}
    for transport in ("tcp", "udp"):
        report("stall", f"SIGSTOP {transport}", transport, live)
        report("death", f"SIGKILL {transport}", transport, live)
    report("silent", "silent server", "tcp", {})


if __name__ == "__main__":
    main()
