"""The daemon's side of the server, as a test sets it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from edge.clock import Timestamp
from edge.detections import Detections
from edge.events.summary import summarise
from edge.frame import Frame
from edge.http.board import PictureBoard
from edge.http.health import CameraView, NodeView
from edge.http.server import HttpServer
from edge.metrics import Metrics
from edge.picture import Result

NODE = NodeView("dock-7", "0.1.0", "rfdetr-seg-demo", 81233.1, True, 14.2)


@dataclass
class Daemon:
    """The health that the server asks, and the board that it reads."""

    live_answer: tuple[bool, dict[str, object]] = (True, {"state": "running"})
    ready_answer: tuple[bool, dict[str, object]] = (True, {})
    views: list[CameraView] = field(default_factory=list)
    node: NodeView = NODE
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
        self,
        camera: str,
        frame_id: int,
        *,
        size: tuple[int, int] = (360, 640),
        noise: int = 0,
        label: str = "circle",
    ) -> Frame:
        """Post a frame whose grey tells its id, with one object in its middle.

        With ``noise`` its JPEG is large: a megabyte at 1920x1080.
        """
        height, width = size
        image = np.full((height, width, 3), 20 + frame_id % 200, np.uint8)
        image += np.random.default_rng(0).integers(0, noise + 1, image.shape, np.uint8)
        frame = Frame(camera, frame_id, Timestamp(1_790_000_000.5, 100.0, True), image)
        logits = np.full((1, 54, 54), -5, np.float32)
        logits[0, 20:34, 20:34] = 5
        box = np.array([[width * 20 / 54, height * 20 / 54, width * 34 / 54, height * 34 / 54]])
        detections = Detections(
            np.array([0.91], np.float32), np.array([1]), box.astype(np.float32), logits, size
        )
        objects = summarise(detections, [None, label]).objects
        self.board.post(Result(frame, detections, objects))
        return frame


CAMERA = CameraView(
    id="dock",
    state="online",
    reason=None,
    source="rtsp://***@10.0.0.4/stream1",
    decoder="nvidia",
    fps=14.9,
    age_s=0.042,
    size=(640, 360),
)


# Starts a server; the keywords are those of HttpSettings, and dead_viewer_s.
Serve = Callable[..., HttpServer]
