"""What a camera must not show is in no picture that leaves, from a real camera to the wire."""

from collections.abc import Iterator

import cv2
import httpx
import numpy as np
import pytest
from serving import Daemon, Serve

from edge.capture.camera import Camera
from edge.capture.slot import FrameSlots
from edge.config import CameraSettings
from edge.detections import Detections
from edge.events.summary import summarise
from edge.frame import Frame
from edge.metrics import Metrics
from edge.picture import Result
from edge.snapshots import Snapshots

DEADLINE_S = 20.0
SIZE = (360, 640)
IGNORED = [[0.105, 0.2], [0.4, 0.2], [0.5, 0.903], [0.1, 0.8]]
MARGIN_PX = 16  # what a JPEG's blocks, its colours at half resolution, may carry inwards


def inside() -> np.ndarray:
    """The ignored pixels: bool ``[H, W]``."""
    corners = np.rint(np.array(IGNORED) * SIZE[::-1]).astype(np.int32)
    return cv2.fillPoly(np.zeros(SIZE, np.uint8), [corners], 255) > 0


def well_inside() -> np.ndarray:
    return cv2.erode(inside().astype(np.uint8), np.ones((2 * MARGIN_PX + 1,) * 2)) > 0


def decoded(jpeg: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


@pytest.fixture
def settings() -> CameraSettings:
    source = "shapes:?seed=3&size=640x360&fps=60&objects=8&min_size=40"
    return CameraSettings.model_validate(
        {"id": "dock", "source": source, "ignore": [IGNORED], "snapshot": 0.01}
    )


@pytest.fixture
def frames(settings: CameraSettings) -> Iterator[FrameSlots]:
    """Where the inference takes the frames of a running camera."""
    slots = FrameSlots(["dock"])
    camera = Camera(settings, slots["dock"], Metrics())
    camera.start()
    yield slots
    camera.stop()
    assert camera.join(DEADLINE_S)


def next_frame(slots: FrameSlots) -> Frame:
    frame = slots.take(DEADLINE_S)
    assert frame is not None
    return frame


def result(frame: Frame) -> Result:
    """The frame with one object in it, at the right of the ignored area."""
    logits = np.full((1, 54, 54), -5, np.float32)
    logits[0, 10:20, 40:50] = 5
    box = np.array([[480, 70, 590, 130]], np.float32)
    found = Detections(np.array([0.9], np.float32), np.array([1]), box, logits, SIZE)
    return Result(frame, found, summarise(found, [None, "circle"]).objects)


def test_the_inference_gets_frames_without_them(
    frames: FrameSlots, settings: CameraSettings
) -> None:
    bare_slots = FrameSlots(["dock"])
    bare = Camera(settings.model_copy(update={"ignore": []}), bare_slots["dock"], Metrics())
    bare.start()
    whole = next_frame(bare_slots)
    bare.stop()
    assert bare.join(DEADLINE_S)
    assert whole.image[inside()].any(axis=1).mean() > 0.99, "this would prove nothing"

    ids = set()
    while len(ids) < 5:
        frame = next_frame(frames)
        ids.add(frame.id)
        assert not frame.image[inside()].any()
        assert frame.image[:, 340:].any(axis=2).mean() > 0.99


def test_the_snapshot_and_the_stream_of_the_page_show_none_of_it(
    frames: FrameSlots, daemon: Daemon, serve: Serve
) -> None:
    daemon.board.post(result(next_frame(frames)))
    with httpx.Client(base_url=serve().url, trust_env=False) as client:
        snapshot = client.get("/cameras/dock/snapshot.jpg").content
        with client.stream("GET", "/cameras/dock/stream.mjpg") as stream:
            streamed = b""
            for chunk in stream.iter_bytes():
                streamed += chunk
                if b"\xff\xd9" in streamed:
                    break
    streamed = streamed[streamed.index(b"\xff\xd8") : streamed.index(b"\xff\xd9") + 2]
    for jpeg in (snapshot, streamed):
        picture = decoded(jpeg)
        assert picture.shape == (*SIZE, 3)
        assert picture[well_inside()].max() <= 4
        assert picture[:, 340:].max(axis=2).mean() > 20


def test_the_snapshot_for_subscribers_shows_none_of_it(
    frames: FrameSlots, settings: CameraSettings
) -> None:
    published: list[bytes] = []
    snapshots = Snapshots(lambda _camera, jpeg: published.append(jpeg))
    snapshots.follow([settings])
    seen = result(next_frame(frames))
    snapshots.offer(seen, new_event=False)
    snapshots.turn(0)
    assert len(published) == 1
    smaller = cv2.resize(decoded(seen.jpeg(max_width=320)), SIZE[::-1])  # as a wide frame's
    for picture in (decoded(published[0]), smaller):
        assert picture[well_inside()].max() <= 4
        assert picture[:, 340:].max(axis=2).mean() > 20
