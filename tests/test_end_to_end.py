"""From a camera to a broker, with real counterparts on all sides."""

import json
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from daemon_process import DaemonProcess, get, get_json, running, write_config
from mosquitto import Mosquitto, Subscriber
from prometheus_client.parser import text_string_to_metric_families
from rtsp_server import RtspServer, shapes
from truth import Truth

from edge.capture.shapes import ShapesCamera
from edge.events.schema import load as load_schema

pytestmark = pytest.mark.e2e

SHAPES = {"id": "dock", "source": "shapes:?seed=7&objects=5&min_size=40"}
VALIDATOR = jsonschema.Draft202012Validator(load_schema("frame-1"))


def frames(subscriber: Subscriber, camera: str, count: int, deadline_s: float = 60) -> list[Any]:
    """At least ``count`` frame messages of a camera, each valid against the schema."""
    topic = f"rfdetr-edge/test/{camera}/frame"
    end = time.monotonic() + deadline_s
    seen = threading.Event()
    while len(subscriber.payloads(topic)) < count:
        assert time.monotonic() < end, f"{len(subscriber.payloads(topic))} of {count} frames"
        seen.wait(0.05)
    messages = [json.loads(payload) for payload in subscriber.payloads(topic)]
    for message in messages:
        VALIDATOR.validate(message)
    return messages


def samples(page: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """A scrape: (name, sorted labels) → value."""
    status, body = get(f"{page}metrics")
    assert status == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def test_published_objects_are_what_the_synthetic_camera_shows(tmp_path, broker):
    config = write_config(tmp_path, broker.port, [SHAPES])
    with (
        Subscriber(broker.host, broker.port, "rfdetr-edge/#") as subscriber,
        running("run", "-c", str(config)) as daemon,
    ):
        messages = frames(subscriber, "dock", 60)
        assert daemon.stop() == 0
    assert [m["seq"] for m in messages] == list(range(1, len(messages) + 1))
    assert len({m["session"] for m in messages}) == 1
    by_id = {m["frame"]["id"]: m for m in messages}
    assert len(by_id) == len(messages), "a frame was published twice"
    score = Truth(ShapesCamera(7, objects=5, min_size=40)).judge(by_id)
    assert score.right > 60
    assert score.recall > 0.85
    assert score.precision > 0.9
    assert 0.9 < np.median(score.area_ratio) < 1.1
    assert np.median(score.centroid_error_px) < 3


@pytest.mark.parametrize(("codec", "transport"), [("h264", "tcp"), ("h265", "udp")])
def test_rtsp_to_mqtt(tmp_path, broker, codec, transport):
    clip_frames = 90
    clip = tmp_path / "clip"
    clip.mkdir()
    pipeline = shapes(clip, codec, frames=clip_frames, fps=10, seed=7)
    camera = {"id": "dock", "transport": transport}
    with (
        RtspServer({"cam": pipeline}) as server,
        Subscriber(broker.host, broker.port, "rfdetr-edge/#") as subscriber,
    ):
        config = write_config(tmp_path, broker.port, [{**camera, "source": server.url("cam")}])
        with running("run", "-c", str(config)) as daemon:
            messages = frames(subscriber, "dock", 60)
            assert daemon.stop() == 0
    truth = Truth(ShapesCamera(7, fps=10, objects=5))
    by_id = {m["frame"]["id"]: m for m in messages}
    offset = truth.align(by_id, clip_frames)
    score = truth.judge({(i + offset) % clip_frames: m for i, m in by_id.items()})
    assert score.right > 60
    assert score.recall > 0.75
    assert score.precision > 0.85
    assert 0.85 < np.median(score.area_ratio) < 1.15


def test_state_around_the_frames(tmp_path, broker):
    config = write_config(tmp_path, broker.port, [SHAPES])
    root = "rfdetr-edge/test"
    with (
        Subscriber(broker.host, broker.port, f"{root}/#") as subscriber,
        running("run", "-c", str(config)) as daemon,
    ):
        page = daemon.page()
        assert get_json(f"{page}livez")[0] == 200
        status, body = get_json(f"{page}readyz")
        if status != 200:
            assert body["reason"]
        subscriber.wait_for(f"{root}/status", "online")
        subscriber.wait_for(f"{root}/dock/status", "online")
        frames(subscriber, "dock", 5)
        assert get_json(f"{page}readyz")[0] == 200
        beat = json.loads(subscriber.wait_for(f"{root}/heartbeat"))
        info = json.loads(subscriber.wait_for(f"{root}/info"))
        assert beat["session"] == info["session"]
        assert set(beat["cameras"]["dock"]) == {"state", "age_s", "fps"}
        assert info["model"] == "rfdetr-seg-demo"
        assert info["labels"] == ["circle", "square", "triangle", "star"]
        assert len(info["checkpoint_sha256"]) == 64
        status, jpeg = get(f"{page}cameras/dock/snapshot.jpg")
        assert (status, jpeg[:2]) == (200, b"\xff\xd8")
        assert get(f"{page}cameras/nobody/snapshot.jpg")[0] == 404
        topics = subscriber.topics()
        assert topics.index(f"{root}/info") < topics.index(f"{root}/status")
        assert daemon.stop() == 0
        subscriber.wait_for(f"{root}/status", "stopped")
        assert subscriber.payloads(f"{root}/status")[-1] == b"stopped"


def test_every_captured_frame_is_accounted_for(tmp_path, broker):
    cameras = [
        {"id": "a", "source": "shapes:?seed=1&fps=30"},
        {"id": "b", "source": "shapes:?seed=2&fps=30&size=320x180", "max_fps": 5},
    ]
    config = write_config(tmp_path, broker.port, cameras)
    with (
        Subscriber(broker.host, broker.port, "rfdetr-edge/#") as subscriber,
        running("run", "-c", str(config)) as daemon,
    ):
        page = daemon.page()
        counts = {camera: len(frames(subscriber, camera, 10)) for camera in ("a", "b")}
        scraped = samples(page)
        for camera in counts:
            captured = scraped["rfdetr_edge_frames_captured_total", (("camera", camera),)]
            inferred = scraped["rfdetr_edge_frames_inferred_total", (("camera", camera),)]
            dropped = sum(
                value
                for (name, labels), value in scraped.items()
                if name == "rfdetr_edge_frames_dropped_total" and ("camera", camera) in labels
            )
            waiting_or_in_flight = captured - inferred - dropped
            assert 0 <= waiting_or_in_flight <= 4
        rate = (("camera", "b"), ("reason", "rate"))
        assert scraped["rfdetr_edge_frames_dropped_total", rate] > 0
        assert scraped["rfdetr_edge_mqtt_connected", ()] == 1
        assert not [name for name, _ in scraped if name.endswith("_created")]
        assert daemon.stop() == 0


def test_a_file_without_pace_is_inferred_frame_by_frame_and_ends_the_daemon(tmp_path, broker):
    import cv2

    camera = ShapesCamera(3, objects=5, min_size=40)
    clip = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter_fourcc(*"MJPG"), 15, (640, 360))
    for number in range(20):
        writer.write(camera.frame(number).image)
    writer.release()
    source = {"id": "clip", "source": "file:clip.avi?pace=none"}
    config = write_config(tmp_path, broker.port, [source])
    with (
        Subscriber(broker.host, broker.port, "rfdetr-edge/#") as subscriber,
        running("run", "-c", str(config)) as daemon,
    ):
        assert daemon.wait() == 0
        subscriber.wait_for("rfdetr-edge/test/status", "stopped")
        messages = frames(subscriber, "clip", 20, deadline_s=5)
    assert [m["frame"]["id"] for m in messages] == list(range(20))
    score = Truth(camera).judge({m["frame"]["id"]: m for m in messages})
    assert score.recall > 0.8


def test_the_broker_may_come_late_and_go_away(tmp_path, start_mosquitto):
    broker: Mosquitto = start_mosquitto()
    broker.stop()
    config = write_config(tmp_path, broker.port, [SHAPES])
    with running("run", "-c", str(config)) as daemon:
        daemon.wait_for_line("delivers")
        broker.start()
        with Subscriber(broker.host, broker.port, "rfdetr-edge/#") as subscriber:
            subscriber.wait_for("rfdetr-edge/test/status", "online")
            first = frames(subscriber, "dock", 3)
        broker.kill()
        daemon.wait_for_line("broker")
        broker.start()
        with Subscriber(broker.host, broker.port, "rfdetr-edge/#") as subscriber:
            subscriber.wait_for("rfdetr-edge/test/status", "online")
            subscriber.wait_for("rfdetr-edge/test/dock/status", "online")
            again = frames(subscriber, "dock", 3)
        assert again[0]["session"] == first[0]["session"]
        assert again[0]["seq"] > first[-1]["seq"]
        assert daemon.stop() == 0


def test_sigkill_leaves_offline_behind(tmp_path, broker):
    config = write_config(tmp_path, broker.port, [SHAPES])
    with (
        Subscriber(broker.host, broker.port, "rfdetr-edge/#") as subscriber,
        running("run", "-c", str(config)) as daemon,
    ):
        subscriber.wait_for("rfdetr-edge/test/status", "online")
        daemon.stop(signal.SIGKILL)
        subscriber.wait_for("rfdetr-edge/test/status", "offline")


def test_a_camera_that_dies_goes_offline_and_comes_back(tmp_path, broker):
    clip = tmp_path / "clip"
    clip.mkdir()
    status = "rfdetr-edge/test/dock/status"
    with (
        RtspServer({"cam": shapes(clip, fps=10)}, user="edge", password="s3cr3t") as server,
        Subscriber(broker.host, broker.port, "rfdetr-edge/#") as subscriber,
    ):
        source = server.url("cam", "edge:s3cr3t")
        config = write_config(tmp_path, broker.port, [{"id": "dock", "source": source}])
        with running("run", "-c", str(config)) as daemon:
            page = daemon.page()
            subscriber.wait_for(status, "online")
            server.kill()
            subscriber.clear()
            subscriber.wait_for(status, "offline")
            assert get_json(f"{page}readyz")[0] == 503
            server.start()
            subscriber.wait_for(status, "online")
            seen = b"".join(payload for _, payload, _ in subscriber.seen)
            pages = b"".join(get(f"{page}{path}")[1] for path in ("", "cameras", "metrics"))
            assert daemon.stop() == 0
    everything = "\n".join(daemon.lines).encode() + seen + pages
    assert b"rtsp://***@127.0.0.1" in everything
    assert b"s3cr3t" not in everything


def test_sigterm_while_the_model_loads(tmp_path, broker):
    config = write_config(tmp_path, broker.port, [SHAPES])
    with (
        Subscriber(broker.host, broker.port, "rfdetr-edge/#") as subscriber,
        running("run", "-c", str(config)) as daemon,
    ):
        daemon.wait_for_line("connected to the broker")
        start = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - start < 10
        subscriber.wait_for("rfdetr-edge/test/status", "stopped")
        assert b"online" not in subscriber.payloads("rfdetr-edge/test/status")


def test_a_second_signal_exits_at_once(tmp_path, broker):
    config = write_config(tmp_path, broker.port, [SHAPES])
    with running("run", "-c", str(config)) as daemon:
        daemon.wait_for_line("delivers")
        broker.freeze()  # so that a clean stop waits for an acknowledgement
        daemon.process.send_signal(signal.SIGTERM)
        start = time.monotonic()
        deadline = start + 3
        while daemon.process.poll() is None and time.monotonic() < deadline:
            daemon.process.send_signal(signal.SIGTERM)
            threading.Event().wait(0.2)
        assert daemon.wait(3) == 1
        assert not any(line.endswith("stopped") for line in daemon.lines)


class NotifySocket:
    """The service manager's end of sd_notify."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.settimeout(60)

    def wait_for(self, state: str) -> list[str]:
        """Everything received up to the state that begins so."""
        received = [""]
        while not received[-1].startswith(state):
            received.append(self._socket.recv(4096).decode())
        return received[1:]

    def close(self) -> None:
        self._socket.close()


def test_systemd_is_told(tmp_path, broker):
    config = write_config(tmp_path, broker.port, [SHAPES])
    notify = NotifySocket(tmp_path)
    environ = {"NOTIFY_SOCKET": str(notify.path), "WATCHDOG_USEC": "30000000"}
    try:
        with running("run", "-c", str(config), environ=environ) as daemon:
            before = notify.wait_for("READY=1")
            assert any(state.startswith("EXTEND_TIMEOUT_USEC=") for state in before)
            notify.wait_for("WATCHDOG=1")
            notify.wait_for("STATUS=cameras 1/1 up")
            daemon.process.send_signal(signal.SIGTERM)
            notify.wait_for("STOPPING=1")
            assert daemon.wait(12) == 0
    finally:
        notify.close()


def refused(*arguments: str) -> tuple[int, list[str]]:
    with running(*arguments) as daemon:
        return daemon.wait(), daemon.lines


def test_a_wrong_configuration_is_refused_with_every_problem(tmp_path, broker):
    camera = {"id": "dock", "source": "rstp://10.0.0.4/stream", "trasport": "tcp"}
    config = write_config(tmp_path, broker.port, [camera])
    for command in ("run", "check-config"):
        code, lines = refused(command, "-c", str(config))
        assert code == 78
        assert len(lines) == 2
        text = "\n".join(lines)
        assert f"{config}: cameras[0].source: unknown scheme 'rstp' (did you mean 'rtsp'?)" in text
        assert "did you mean 'transport'?" in text


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ({"path": "text.pth", "device": "cpu"}, "text.pth: is not a PyTorch checkpoint"),
        ({"id": "rfdetr-seg-demo", "device": "cuda"}, "device is cuda, but torch"),
        (
            {"id": "rfdetr-seg-demo", "device": "cpu", "confidence": {"squre": 0.5}},
            "model.confidence: 'squre' is none of the model's labels (did you mean 'square'?)",
        ),
    ],
)
def test_a_model_that_cannot_run_is_refused_in_one_sentence(tmp_path, broker, model, sentence):
    (tmp_path / "text.pth").write_text("hello\n")
    config = write_config(tmp_path, broker.port, [SHAPES], model=model)
    code, lines = refused("run", "-c", str(config))
    assert code == 78
    assert sentence in lines[-1]
    assert not any("Traceback" in line for line in lines)


def test_labels_that_the_model_does_not_have(tmp_path, broker):
    config = write_config(tmp_path, broker.port, [{**SHAPES, "classes": ["circle", "trianlge"]}])
    code, lines = refused("run", "-c", str(config))
    assert code == 78
    assert lines[-1] == (
        f"{config}: cameras[0].classes: 'trianlge' is none of the model's labels"
        " (did you mean 'triangle'?)"
    )


def test_a_taken_port_is_said(tmp_path, broker):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        http = {"host": "127.0.0.1", "port": port}
        config = write_config(tmp_path, broker.port, [SHAPES], http=http)
        code, lines = refused("run", "-c", str(config))
    assert code == 1
    assert str(port) in lines[-1]
    assert not any("Traceback" in line for line in lines)


def test_demo_shows_where_to_look_and_runs(tmp_path):
    with running("demo") as daemon:
        daemon.wait_for_line("delivers")
        assert daemon.process.stdout is not None
        text = ""
        while "Stop with Ctrl-C" not in text:
            text += daemon.process.stdout.readline()
        page = next(word for word in text.split() if word.startswith("http"))
        words = text.split()
        port = int(words[words.index("-p") + 1])
        with Subscriber("127.0.0.1", port, "rfdetr-edge/#") as subscriber:
            message = json.loads(subscriber.wait_for("rfdetr-edge/demo/shapes/frame"))
            VALIDATOR.validate(message)
        assert get(page)[0] == 200
        assert daemon.stop(signal.SIGINT) == 0


def test_check_config_says_ok_without_opening_anything(tmp_path):
    camera = {"id": "dock", "source": "rtsp://10.255.255.1/never-asked"}
    config = write_config(tmp_path, 1, [camera])
    daemon: DaemonProcess
    with running("check-config", "-c", str(config)) as daemon:
        assert daemon.wait() == 0
        assert daemon.stdout() == f"{config}: OK\n"
