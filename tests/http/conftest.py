"""A real server on a loopback port, with a daemon's state that a test can set."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pytest

from edge.clock import Timestamp
from edge.config import HttpSettings
from edge.detections import Detections
from edge.events.summary import summarise
from edge.frame import Frame
from edge.http.board import PictureBoard
from edge.http.health import CameraView, NodeView
from edge.http.server import HttpServer
from edge.metrics import Metrics


@dataclass
class Daemon:
    """The health that the server asks, and the board that it reads."""

    live_answer: tuple[bool, dict[str, object]] = (True, {"state": "running"})
    ready_answer: tuple[bool, dict[str, object]] = (True, {})
    views: list[CameraView] = field(default_factory=list)
    node: NodeView = NodeView("dock-7", "0.1.0", "rfdetr-seg-demo", 81233.1, True, 14.2)
    board: PictureBoard = field(default_factory=PictureBoard)
    metrics: Metrics = field(default_factory=Metrics)

    def live(self) -> tuple[bool, dict[str, object]]:
        return self.live_answer

    def ready(self) -> tuple[bool, dict[str, object]]:
        return self.ready_answer

    def cameras(self) -> list[CameraView]:
        return self.views

    def page(self) -> NodeView:
        return self.node

    def post(
        self, camera: str, frame_id: int, size: tuple[int, int] = (360, 640), label: str = "circle"
    ) -> Frame:
        """Post a frame whose grey tells its id, with one object in its middle."""
        height, width = size
        image = np.full((height, width, 3), 20 + frame_id % 200, np.uint8)
        frame = Frame(camera, frame_id, Timestamp(1_790_000_000.5, 100.0, True), image)
        logits = np.full((1, 54, 54), -5, np.float32)
        logits[0, 20:34, 20:34] = 5
        box = np.array([[width * 20 / 54, height * 20 / 54, width * 34 / 54, height * 34 / 54]])
        detections = Detections(
            np.array([0.91], np.float32), np.array([1]), box.astype(np.float32), logits, size
        )
        self.board.post(camera, frame, detections, summarise(detections, [None, label]))
        return frame


def camera_view(camera: str = "dock", **changes: object) -> CameraView:
    values: dict[str, object] = {
        "id": camera,
        "state": "online",
        "reason": None,
        "source": "rtsp://***@10.0.0.4/stream1",
        "fps": 14.9,
        "age_s": 0.042,
        "size": (640, 360),
    }
    return CameraView(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def daemon() -> Daemon:
    return Daemon(views=[camera_view("dock"), camera_view("gate", state="offline", age_s=None)])


Serve = Callable[..., HttpServer]


@pytest.fixture
def serve(daemon: Daemon) -> Iterator[Serve]:
    """Start a server with these settings; all are stopped at the end of the test."""
    servers: list[HttpServer] = []

    def start(*, dead_viewer_s: float = 10.0, **settings: object) -> HttpServer:
        server = HttpServer(
            HttpSettings(**({"port": 0} | settings)),
            daemon,
            daemon.board,
            daemon.metrics,
            dead_viewer_s=dead_viewer_s,
        )
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        assert server.stop(5)


@pytest.fixture
def client(serve: Serve) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=serve().url, trust_env=False) as client:
        yield client


@pytest.fixture
def secret(tmp_path: Path) -> Callable[[str, str], Path]:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    return write
