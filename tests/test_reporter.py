"""The events thread's turn, step by step, with a publisher and a spool that remember."""

import json
import queue
import threading
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from edge.camera_memory import CameraMemory
from edge.camera_report import Desk
from edge.capture.slot import FrameSlots
from edge.clock import Timestamp
from edge.config import CameraSettings, HomeAssistantSettings, TrackingSettings
from edge.detections import Detections
from edge.events.event_message import EventMessageBuilder
from edge.events.message import FrameMessageBuilder
from edge.events.schema import load
from edge.frame import Frame
from edge.home import HomeAnnouncer
from edge.http.board import PictureBoard
from edge.inference.loop import Inferred
from edge.line_total import LineTotal
from edge.metrics import Metrics
from edge.outlets import Outlets
from edge.publish.spool_event import OpenObject
from edge.publish.topics import Topics
from edge.reporter import Reporter
from edge.scope import Scope
from edge.snapshots import Snapshots

NAMES = ("circle", "square", None)
SESSION = "0123abcd"
FRAME, EVENT = (Draft202012Validator(load(name)) for name in ("frame-1", "event-1"))


class FakePublisher:
    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.retained: dict[str, str] = {}
        self.republished: list[str] = []
        self.handlers = {}

    def publish_retained(self, topic, payload):
        self.retained[topic] = payload

    def republish(self, topic):
        self.republished.append(topic)

    def forget_retained(self, topic):
        self.retained.pop(topic, None)

    def subscribe(self, topic, handler):
        self.handlers[topic] = handler

    def publish_frame(self, topic, payload):
        self.sent.append((topic, payload))
        return True

    def publish(self, topic, payload, qos, kind):
        self.sent.append((topic, payload))
        return True


class FakeDelivery:
    def __init__(self) -> None:
        self.appended = []
        self.totals: list[LineTotal] = []
        self.open: list[OpenObject] = []

    def append(self, event):
        self.appended.append(event)

    def line_totals(self):
        return self.totals

    def left_open(self):
        return self.open

    def events(self) -> list[dict]:
        bodies = [e.head + b"%d" % (i + 1) + e.tail for i, e in enumerate(self.appended)]
        messages = [json.loads(body) for body in bodies]
        for message in messages:
            EVENT.validate(message)
        return messages


class FakeCamera:
    def __init__(self, settings: CameraSettings) -> None:
        self.id, self.settings = settings.id, settings
        self.last_frame_uptime_s = 99.5
        self.now_state = "online"
        self.ended, self.decoder = False, ""
        self.enabled, self.wanted_from = True, (0, "removed")

    def state(self, now_uptime_s: float) -> str:
        return self.now_state if self.enabled else "disabled"

    def change(self, **settings: object) -> None:
        self.settings = self.settings.model_copy(update=settings)

    def switch(self, *, off_at: int, on: bool = False) -> None:
        self.enabled, self.wanted_from = on, (off_at, "disabled")


class Bench:
    """One camera `dock`, a clock that stands, and inference turns set by hand."""

    def __init__(self, tmp_path=None, home=False, delivery=None, **settings) -> None:
        self.now_s, self.turns, self.synced = 100.0, 0, True
        self.results: queue.Queue[Inferred] = queue.Queue()
        self.publisher, self.delivery = FakePublisher(), delivery or FakeDelivery()
        self.metrics = Metrics()
        self.board = PictureBoard()
        self.slots = FrameSlots(["dock"])
        self.stopping = threading.Event()
        options = {"id": "dock", "source": "shapes:", **settings}
        camera = CameraSettings.model_validate(options, context={"folder": None})
        self.camera = FakeCamera(camera)
        topics = Topics("rfdetr-edge", "test")
        self.memory = CameraMemory((tmp_path or Path("/nonexistent")) / "cameras.json")
        self.pictures: list[bytes] = []
        self.snapshots = Snapshots(lambda name, jpeg: self.pictures.append(jpeg))
        self.home = HomeAnnouncer(
            HomeAssistantSettings(enabled=home), topics, "test", self.memory, self.publisher
        )
        self.home.subscribe()
        outlets = Outlets(
            topics,
            self.publisher,
            self.delivery,
            self.home,
            self.board,
            self.snapshots,
            self.memory,
            self.metrics,
            self,
        )
        whose = "test", SESSION, "rfdetr-seg-demo", 8192
        desk = Desk(
            outlets,
            SESSION,
            "rfdetr-seg-demo",
            NAMES,
            192,
            TrackingSettings(),
            FrameMessageBuilder(*whose),
            EventMessageBuilder(*whose),
        )
        self.scope = Scope(desk, [self.camera], {"session": SESSION})
        self.reporter = Reporter(
            self.scope, self.results, self.slots, lambda: self.turns, self.stopping
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
        self.slots["dock"].put(frame)
        self.slots.take(0)
        self.results.put(Inferred(frame, detections, self.now_s, 0.01))

    def frames(self) -> list[dict]:
        sent = [json.loads(p) for topic, p in self.publisher.sent if topic.endswith("/frame")]
        for message in sent:
            FRAME.validate(message)
        return sent

    def see(self, *rows: list[int]) -> None:
        """Some frames, a tenth of a second apart, each reported."""
        for number, classes in enumerate(rows):
            self.infer(number, classes)
            self.reporter.turn(0)
            self.now_s += 0.1

    def take_over(self, *cameras: FakeCamera, **desk: object) -> None:
        """Another scope, in line behind what was inferred."""
        self.scope = Scope(replace(self.scope.desk, **desk), cameras, {"session": SESSION})
        self.results.put(self.scope)

    def retained(self, topic: str) -> str | None:
        return self.publisher.retained.get(f"rfdetr-edge/test/{topic}")

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


def test_info_says_which_decoder_is_in_use():
    bench = Bench()
    said = []
    for decoder in ("", "nvidia", "software"):
        bench.camera.decoder = decoder
        bench.reporter.turn(0)
        info = json.loads(bench.publisher.retained["rfdetr-edge/test/info"])
        said.append(info["cameras"]["dock"]["decoder"])
    assert said == [None, "nvidia", "software"]


def test_what_is_in_the_queue_at_the_end_still_goes_out():
    bench = Bench()
    stop = threading.Event()
    stop.set()
    for number in range(3):
        bench.infer(number, rows=[])
    bench.reporter.run(stop)
    assert [m["frame"]["id"] for m in bench.frames()] == [0, 1, 2]


def test_an_object_that_stays_is_an_event_a_track_and_a_count(tmp_path):
    bench = Bench(tmp_path)
    bench.reporter.publish_state()
    assert bench.retained("dock/count/circle") is None
    bench.see([0], [0], [0], [0])
    [event] = bench.delivery.events()
    assert (event["type"], event["event_id"]) == ("new", "0123abcd-dock-1")
    assert event["object"]["label"] == "circle"
    assert [m["objects"][0]["track_id"] for m in bench.frames()] == [None, None, 1, 1]
    assert bench.retained("dock/count/circle") == "1"
    assert bench.memory.labels("dock") == ["circle"]


def test_labels_of_an_earlier_run_have_their_topics_from_the_start(tmp_path):
    CameraMemory(tmp_path / "cameras.json").add_label("dock", "square")
    bench = Bench(tmp_path)
    bench.reporter.publish_state()
    assert bench.retained("dock/count/square") == "0"


def test_classes_have_their_topics_from_the_start(tmp_path):
    bench = Bench(tmp_path, classes=["square"])
    bench.camera.now_state = "offline"
    bench.reporter.publish_state()
    assert bench.retained("dock/count/square") == "None"
    assert bench.memory.labels("dock") == []


def test_a_camera_that_is_gone_ends_its_events(tmp_path):
    bench = Bench(tmp_path)
    bench.see([0], [0], [0])
    bench.camera.now_state = "offline"
    bench.reporter.turn(0)
    bench.reporter.turn(0)
    assert [e["type"] for e in bench.delivery.events()] == ["new", "end"]
    assert bench.delivery.events()[1]["end_reason"] == "camera_offline"
    assert bench.retained("dock/status") == "offline"
    assert bench.retained("dock/count/circle") == "None"


def test_a_camera_that_is_switched_off_ends_its_events_and_shows_nothing(tmp_path):
    bench = Bench(tmp_path)
    bench.see([0], [0], [0])
    bench.camera.switch(off_at=3)
    bench.reporter.turn(0)
    bench.reporter.turn(0)
    assert [e["type"] for e in bench.delivery.events()] == ["new", "end"]
    assert bench.delivery.events()[1]["end_reason"] == "disabled"
    assert bench.retained("dock/status") == "disabled"
    assert bench.retained("dock/count/circle") == "None"
    assert bench.board.newest("dock") is None


def test_off_and_on_between_two_turns_is_off(tmp_path):
    bench = Bench(tmp_path)
    bench.see([0], [0], [0])
    bench.camera.switch(off_at=3, on=True)
    bench.infer(3, [0])
    bench.reporter.turn(0)
    assert [e["type"] for e in bench.delivery.events()] == ["new", "end"]
    assert bench.delivery.events()[1]["end_reason"] == "disabled"
    assert [m["objects"][0]["track_id"] for m in bench.frames()] == [None, None, 1, None]


def test_what_was_under_way_when_a_camera_was_switched_off_is_seen_by_nobody(tmp_path):
    bench = Bench(tmp_path, snapshot="events")
    bench.camera.switch(off_at=3)
    bench.see([0], [0], [0])
    assert bench.frames() == []
    assert bench.delivery.appended == []
    assert bench.board.newest("dock") is None
    assert bench.slots.all_done("dock")


def test_a_file_that_has_ended_ends_its_events_after_its_last_frame(tmp_path):
    bench = Bench(tmp_path)
    bench.see([0], [0], [0])
    bench.infer(3, [0])
    bench.camera.ended, bench.camera.now_state = True, "offline"
    bench.reporter.publish_state()
    assert [e["type"] for e in bench.delivery.events()] == ["new"]
    bench.reporter.turn(0)
    last = bench.delivery.events()[-1]
    assert (last["end_reason"], last["frame"]["id"]) == ("source_ended", 3)


def test_what_is_open_when_inference_falls_silent_is_lost(tmp_path):
    bench = Bench(tmp_path)
    bench.see([0], [0], [0])
    bench.now_s += 4
    bench.reporter.turn(0)
    assert len(bench.delivery.appended) == 1
    bench.now_s += 4
    bench.reporter.turn(0)
    assert bench.delivery.events()[1]["end_reason"] == "lost"


def test_a_network_with_slow_turns_is_not_silent(tmp_path):
    bench = Bench(tmp_path)
    for number in range(6):
        bench.infer(number, [0])
        bench.reporter.turn(0)
        for _ in range(20):
            bench.now_s += 1
            bench.reporter.turn(0)
    assert {e["type"] for e in bench.delivery.events()} == {"new", "update"}


def test_stopping_ends_with_shutdown_though_the_cameras_are_stopped_first(tmp_path):
    bench = Bench(tmp_path)
    bench.see([0], [0], [0])
    bench.stopping.set()
    bench.camera.now_state = "offline"
    bench.infer(3, [0])
    bench.reporter.turn(0)
    stop = threading.Event()
    stop.set()
    bench.reporter.run(stop)
    assert [e["type"] for e in bench.delivery.events()] == ["new", "end"]
    assert bench.delivery.events()[1]["end_reason"] == "shutdown"
    assert bench.retained("dock/count/circle") == "None"


def test_what_a_dead_session_left_open_is_ended_first(tmp_path, caplog):
    bench = Bench(tmp_path)
    bench.see([0], [0], [0])
    [new] = bench.delivery.appended
    delivery = FakeDelivery()
    body = new.head.replace(b"0123abcd", b"feedbeef") + b"1" + new.tail
    delivery.open = [
        OpenObject("feedbeef-dock-1", "dock", "feedbeef", body),
        OpenObject("feedbeef-dock-2", "dock", "feedbeef", b"not an event"),
        OpenObject("feedbeef-yard-1", "yard", "feedbeef", body),
    ]
    again = Bench(tmp_path, delivery=delivery)
    with caplog.at_level("INFO"):
        again.reporter.end_left_open()
    assert "ending 3 events that the last session has left open" in caplog.text
    assert [(e.camera, e.type, e.event_id) for e in delivery.appended] == [
        ("dock", "end", "feedbeef-dock-1"),
        ("yard", "end", "feedbeef-yard-1"),
    ]
    for event in delivery.events():
        assert (event["session"], event["opened_session"]) == ("0123abcd", "feedbeef")
        assert event["end_reason"] == "restart"


def test_line_totals_go_on_from_the_last_run(tmp_path):
    delivery = FakeDelivery()
    delivery.totals = [LineTotal("dock", "gate", "circle", 7, 5), LineTotal("yard", "gate", "x")]
    CameraMemory(tmp_path / "cameras.json").add_label("dock", "circle")
    lines = [{"id": "gate", "from": [0.5, 0], "to": [0.5, 1]}]
    bench = Bench(tmp_path, delivery=delivery, lines=lines)
    bench.reporter.publish_state()
    assert json.loads(bench.retained("dock/line/gate/circle")) == {"in": 7, "out": 5}


def test_frames_changes_tells_of_changes_alone(tmp_path):
    bench = Bench(tmp_path, frames="changes")
    bench.see([], [], [0], [0], [0], [0], [])
    # empty, the object, its track, and its absence
    assert [m["frame"]["id"] for m in bench.frames()] == [0, 2, 4, 6]
    assert [m["seq"] for m in bench.frames()] == [1, 2, 3, 4]


def test_a_new_event_brings_a_snapshot(tmp_path):
    bench = Bench(tmp_path, snapshot="events")
    bench.see([0], [0])
    bench.snapshots.turn(0)
    assert bench.pictures == []
    bench.see([0])
    bench.snapshots.turn(0)
    assert [picture[:2] for picture in bench.pictures] == [b"\xff\xd8"]


def test_home_assistant_hears_of_a_camera_and_of_each_new_label(tmp_path):
    bench = Bench(tmp_path, home=True)
    topic = "homeassistant/device/rfdetr-edge_test_dock/config"
    components = json.loads(bench.publisher.retained[topic])["components"]
    assert "count/circle" not in components
    bench.see([0], [0], [0])
    components = json.loads(bench.publisher.retained[topic])["components"]
    assert components["count/circle"]["state_topic"] == "rfdetr-edge/test/dock/count/circle"
    heard = bench.publisher.handlers["homeassistant/status"]
    heard("homeassistant/status", b"offline", False)
    bench.reporter.turn(0)
    assert bench.publisher.republished == []
    heard("homeassistant/status", b"online", False)
    bench.reporter.turn(0)
    bench.reporter.turn(0)
    assert bench.publisher.republished == [topic]


def test_home_assistant_hears_nothing_unless_asked(tmp_path):
    bench = Bench(tmp_path)
    bench.see([0], [0], [0])
    assert not [topic for topic in bench.publisher.retained if topic.startswith("homeassistant")]
    assert bench.publisher.handlers == {}


def kinds(bench: Bench) -> list[tuple[str, str | None]]:
    return [(e["type"], e.get("end_reason")) for e in bench.delivery.events()]


def test_another_scope_leaves_a_camera_alone_that_is_the_same(tmp_path):
    bench = Bench(tmp_path)
    bench.see([0], [0], [0])
    bench.take_over(bench.camera)
    bench.reporter.turn(0)
    bench.see([0], [0])
    assert kinds(bench) == [("new", None)]
    assert [m["objects"][0]["track_id"] for m in bench.frames()] == [None, None, 1, 1, 1]


def test_a_changed_camera_begins_anew_and_counts_on(tmp_path):
    zone = {"id": "bay", "polygon": [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)]}
    bench = Bench(tmp_path, zones=[zone])
    bench.see([0], [0], [0])
    assert bench.retained("dock/zone/bay/circle") == "1"
    rate = bench.reporter.rates["dock"]
    bench.camera.change(zones=[])
    bench.take_over(bench.camera)
    bench.reporter.turn(0)
    assert kinds(bench) == [("new", None), ("end", "removed")]
    assert bench.retained("dock/zone/bay/circle") is None
    assert bench.retained("dock/count/circle") == "0"
    assert bench.reporter.rates["dock"] is rate
    bench.see([0], [0], [0])
    assert bench.retained("dock/count/circle") == "1"
    tracks = [m["objects"][0]["track_id"] for m in bench.frames()]
    assert tracks == [None, None, 1, None, None, 2]
    assert [m["seq"] for m in bench.frames()] == [1, 2, 3, 4, 5, 6]


def test_nothing_stays_of_a_camera_that_left(tmp_path):
    bench = Bench(tmp_path, home=True)
    bench.see([0], [0], [0])
    bench.infer(3, [0])  # on its way when the camera leaves
    late = bench.results.get()
    bench.take_over()
    bench.reporter.turn(0)
    bench.results.put(late)
    bench.reporter.turn(0)
    assert kinds(bench) == [("new", None), ("end", "removed")]
    assert bench.slots.all_done("dock")
    assert not [topic for topic in bench.publisher.retained if "dock" in topic]
    assert bench.board.newest("dock") is None
    assert bench.reporter.rates == {}

    bench.take_over(bench.camera)
    bench.reporter.turn(0)
    bench.see([0], [0], [0])
    assert bench.frames()[-1]["objects"][0]["track_id"] == 2
    assert bench.frames()[-1]["seq"] == 6
    assert bench.retained("dock/count/circle") == "1"


def test_results_before_another_model_are_still_the_old_one_s(tmp_path):
    bench = Bench(tmp_path)
    for number in range(3):
        bench.infer(number, [0])
    bench.take_over(bench.camera, names=("cat", "dog", None))
    for number in range(3, 6):
        bench.infer(number, [0])
    for _ in range(7):
        bench.reporter.turn(0)
    labels = [m["objects"][0]["label"] for m in bench.frames()]
    assert labels == ["circle"] * 3 + ["cat"] * 3
    assert kinds(bench) == [("new", None), ("end", "removed"), ("new", None)]
    assert bench.retained("dock/count/cat") == "1"
    assert bench.retained("dock/count/circle") is None


def test_totals_of_lines_go_on_with_other_settings(tmp_path):
    delivery = FakeDelivery()
    delivery.totals = [LineTotal("dock", "gate", "circle", 3, 1)]
    line = {"id": "gate", "from": (0.5, 0.0), "to": (0.5, 1.0)}
    bench = Bench(tmp_path, delivery=delivery, lines=[line], classes=["circle"])
    bench.camera.change(max_fps=5.0)
    bench.take_over(bench.camera)
    bench.reporter.turn(0)
    assert bench.retained("dock/line/gate/circle") == '{"in": 3, "out": 1}'
