"""The events thread's turn, step by step, with a publisher that remembers."""

import json
import queue
from itertools import pairwise

import numpy as np
import pytest

from edge.clock import Timestamp
from edge.config import CameraSettings
from edge.detections import Detections
from edge.events.message import FrameMessageBuilder
from edge.frame import Frame
from edge.http.board import PictureBoard
from edge.inference.loop import Inferred
from edge.metrics import Metrics
from edge.publish.topics import Topics
from edge.reporter import Reporter

NAMES = ("circle", "square", None)


class FakePublisher:
    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.retained: dict[str, str] = {}

    def publish_retained(self, topic, payload):
        self.retained[topic] = payload

    def publish_frame(self, topic, payload):
        self.sent.append((topic, payload))
        return True

    def publish(self, topic, payload, qos, kind):
        self.sent.append((topic, payload))
        return True


class FakeCamera:
    def __init__(self, camera_id: str) -> None:
        self.id = camera_id
        self.last_frame_uptime_s = 99.5
        self.now_state = "online"

    def state(self, now_uptime_s: float) -> str:
        return self.now_state


class Bench:
    """One camera `dock`, a clock that stands, and inference turns set by hand."""

    def __init__(self, **settings) -> None:
        self.now_s, self.turns, self.synced = 100.0, 0, True
        self.results: queue.Queue[Inferred] = queue.Queue()
        self.publisher, self.camera = FakePublisher(), FakeCamera("dock")
        self.metrics = Metrics()
        self.board = PictureBoard()
        options = {"id": "dock", "source": "shapes:", **settings}
        camera = CameraSettings.model_validate(options, context={"folder": None})
        self.reporter = Reporter(
            self.results,
            {"dock": self.camera},
            [camera],
            NAMES,
            FrameMessageBuilder("test", "0123abcd", "rfdetr-seg-demo", 8192),
            {"session": "0123abcd"},
            self.publisher,
            Topics("rfdetr-edge", "test"),
            self.board,
            self.metrics,
            self,
            lambda: self.turns,
        )

    def uptime_s(self) -> float:
        return self.now_s

    def now(self) -> Timestamp:
        return Timestamp(1.8e9, self.now_s, self.synced)

    def infer(self, number: int, rows: list[int]) -> None:
        """One inferred frame with a whole-frame object of each of these class rows."""
        k = len(rows)
        detections = Detections(
            np.full(k, 0.9, np.float32),
            np.array(rows, np.int64),
            np.tile(np.array([[1, 1, 7, 7]], np.float32), (k, 1)),
            np.ones((k, 4, 4), np.float32),
            (8, 8),
        )
        frame = Frame("dock", number, self.now(), np.zeros((8, 8, 3), np.uint8))
        self.results.put(Inferred(frame, detections, self.now_s, 0.01))

    def frames(self) -> list[dict]:
        return [json.loads(p) for topic, p in self.publisher.sent if topic.endswith("/frame")]

    def heartbeats(self) -> list[dict]:
        return [json.loads(p) for topic, p in self.publisher.sent if topic.endswith("/heartbeat")]


def test_a_result_becomes_a_message_a_picture_and_counts():
    bench = Bench()
    bench.infer(3, rows=[1, 0, 1])
    bench.reporter.turn(0)
    [message] = bench.frames()
    assert message["counts"] == {"square": 2, "circle": 1}
    assert bench.board.newest("dock").frame.id == 3
    count = bench.metrics.registry.get_sample_value
    labels = {"camera": "dock", "label": "square"}
    assert count("rfdetr_edge_detections_total", labels) == 2
    assert count("rfdetr_edge_capture_to_publish_seconds_count", {"camera": "dock"}) == 1


def test_a_frame_without_objects_is_published_too():
    bench = Bench()
    bench.infer(0, rows=[])
    bench.reporter.turn(0)
    assert bench.frames()[0]["objects"] == []


def test_geometry_is_that_of_the_objects_in_the_message():
    bench = Bench(geometry="both", classes=["circle"])
    bench.infer(0, rows=[1, 0])
    bench.reporter.turn(0)
    [seen] = bench.frames()[0]["objects"]
    [part] = seen["polygon"]
    assert sorted(part["outer"]) == [[0, 0], [0, 8], [8, 0], [8, 8]]
    assert seen["rle"] == {"size": [4, 4], "counts": "0`0"}
    bench.infer(1, rows=[])
    bench.reporter.turn(0)
    assert bench.frames()[1]["objects"] == []


def test_without_geometry_in_the_settings_there_is_none():
    bench = Bench()
    bench.infer(0, rows=[0])
    bench.reporter.turn(0)
    assert not {"polygon", "rle"} & set(bench.frames()[0]["objects"][0])


def test_unnamed_rows_and_other_classes_are_left_out():
    bench = Bench(classes=["circle"])
    bench.infer(0, rows=[0, 1, 2])
    bench.reporter.turn(0)
    assert bench.frames()[0]["counts"] == {"circle": 1}


def test_frames_off_still_shows_the_page():
    bench = Bench(frames="off")
    bench.infer(0, rows=[0])
    bench.reporter.turn(0)
    assert bench.frames() == []
    assert bench.board.newest("dock") is not None


def test_frame_max_fps_holds_on_average():
    bench = Bench(frame_max_fps=4)
    for number in range(150):  # 10 s at 15 frames/s
        bench.infer(number, rows=[])
        bench.reporter.turn(0)
        bench.now_s += 1 / 15
    assert len(bench.frames()) == pytest.approx(40, abs=2)


def test_frame_max_fps_lets_no_burst_through():
    bench = Bench(frame_max_fps=1)
    sent_at = []
    for number in range(100):
        if number == 50:
            bench.now_s += 30  # a pause
        before = len(bench.frames())
        bench.infer(number, rows=[])
        bench.reporter.turn(0)
        if len(bench.frames()) > before:
            sent_at.append(bench.now_s)
        bench.now_s += 1 / 15
    gaps = [later - earlier for earlier, later in pairwise(sent_at)]
    assert min(gaps) > 0.25, "a burst"
    assert sum(gap < 0.7 for gap in gaps) <= 1, "only once behind the pause"


def test_a_heartbeat_a_second_while_the_inference_loop_turns():
    bench = Bench()
    for _ in range(50):  # 10 s
        bench.turns += 1
        bench.reporter.turn(0)
        bench.now_s += 0.2
    assert 9 <= len(bench.heartbeats()) <= 11
    beat = bench.heartbeats()[0]
    assert beat == {
        "session": "0123abcd",
        "cameras": {"dock": {"state": "online", "age_s": 0.5, "fps": 0.0}},
    }


def test_no_heartbeat_while_the_inference_loop_hangs():
    bench = Bench()
    bench.reporter.turn(0)
    before = len(bench.heartbeats())
    for _ in range(50):
        bench.now_s += 0.2
        bench.reporter.turn(0)
    assert len(bench.heartbeats()) == before


def test_camera_status_follows_the_camera():
    bench = Bench()
    bench.reporter.turn(0)
    assert bench.publisher.retained["rfdetr-edge/test/dock/status"] == "online"
    bench.camera.now_state = "offline"
    bench.reporter.turn(0)
    assert bench.publisher.retained["rfdetr-edge/test/dock/status"] == "offline"


def test_info_says_when_the_clock_becomes_right():
    bench = Bench()
    bench.synced = False
    bench.reporter.turn(0)
    info = json.loads(bench.publisher.retained["rfdetr-edge/test/info"])
    assert info["clock"] == {"synced": False}
    bench.synced = True
    bench.reporter.turn(0)
    info = json.loads(bench.publisher.retained["rfdetr-edge/test/info"])
    assert info["clock"] == {"synced": True}


def test_what_is_in_the_queue_at_the_end_still_goes_out():
    import threading

    bench = Bench()
    stop = threading.Event()
    stop.set()
    for number in range(3):
        bench.infer(number, rows=[])
    bench.reporter.run(stop)
    assert [m["frame"]["id"] for m in bench.frames()] == [0, 1, 2]
