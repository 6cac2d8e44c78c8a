"""SIGHUP: the configuration read anew in a running daemon, with a real broker and real files."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from daemon_process import DaemonProcess, get, get_json, running, write_config
from event_rules import received_events
from mosquitto import Mosquitto, Subscriber
from prometheus_client.parser import text_string_to_metric_families

from edge.model_source import DEMO_CHECKPOINT

pytestmark = pytest.mark.e2e

B = "rfdetr-edge/test"
FPS = 10
DOCK = {"id": "dock", "source": f"shapes:?seed=3&objects=4&min_size=60&fps={FPS}"}
YARD = {"id": "yard", "source": f"shapes:?seed=5&objects=4&min_size=60&fps={FPS}"}
GATE = {"id": "gate", "source": f"shapes:?seed=7&objects=4&min_size=60&fps={FPS}"}
HALF = {"id": "left", "polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]], "min_overlap": 0.5}
LONGEST_GAP_S = 1.5  # on a machine that has other things to do; bench/reload.py measures it


class Reloaded:
    """A daemon with a configuration that can be written anew."""

    def __init__(self, file: Path, daemon: DaemonProcess, subscriber: Subscriber) -> None:
        self.file, self.daemon, self.subscriber = file, daemon, subscriber
        self.page = daemon.page()
        daemon.wait_for_line("ready")

    def reload(self, said: str, **changes: Any) -> str:
        config = yaml.safe_load(self.file.read_text()) | changes
        self.file.write_text(yaml.safe_dump(config))
        self.daemon.process.send_signal(signal.SIGHUP)
        return self.daemon.wait_for_line(said)

    def frames(self, camera: str) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.subscriber.payloads(f"{B}/{camera}/frame")]

    def wait_for_frames(self, camera: str, more: int) -> None:
        wanted = len(self.frames(camera)) + more
        self.subscriber.wait_until(lambda: len(self.frames(camera)) >= wanted)

    def metrics(self, name: str) -> dict[tuple[str, ...], float]:
        """Samples of one metric by the values of their labels."""
        families = text_string_to_metric_families(get(f"{self.page}metrics")[1].decode())
        samples = [sample for family in families for sample in family.samples]
        return {tuple(each.labels.values()): each.value for each in samples if each.name == name}


@contextmanager
def reloadable(folder: Path, broker: Mosquitto, *cameras: Any, **other: Any) -> Iterator[Reloaded]:
    file = write_config(folder, broker.port, list(cameras), **other)
    with (
        Subscriber(broker.host, broker.port, f"{B}/#") as subscriber,
        running("run", "-c", str(file)) as daemon,
    ):
        yield Reloaded(file, daemon, subscriber)


def assert_no_gap(frames: list[dict[str, Any]]) -> None:
    """Ids and sequence go on, and no two inferred frames lie too far apart."""
    assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))
    for before, after in pairwise(frames):
        assert after["frame"]["id"] > before["frame"]["id"]
        apart_s = after["time"]["uptime_s"] - before["time"]["uptime_s"]
        assert apart_s <= LONGEST_GAP_S, f"{apart_s} s without an inferred frame"


def test_cameras_come_change_and_go_and_the_others_do_not_notice(
    tmp_path: Path, broker: Mosquitto
) -> None:
    with reloadable(tmp_path, broker, DOCK, YARD) as edge:
        edge.subscriber.wait_for(f"{B}/yard/status", "online")
        edge.wait_for_frames("dock", 10)
        edge.reload(
            "reloaded: cameras added: gate; cameras changed: yard",
            cameras=[DOCK, YARD | {"zones": [HALF]}, GATE],
        )
        edge.subscriber.wait_for(f"{B}/gate/status", "online")
        edge.subscriber.wait_for(f"{B}/gate/enabled/state", "ON")
        edge.wait_for_frames("gate", 10)
        edge.subscriber.wait_until(
            lambda: any("left" in o["zones"] for f in edge.frames("yard") for o in f["objects"])
        )
        assert set(edge.metrics("rfdetr_edge_camera_up")) == {("dock",), ("yard",), ("gate",)}

        edge.reload("reloaded: cameras changed: yard; cameras removed: gate", cameras=[DOCK, YARD])
        edge.subscriber.wait_for(f"{B}/gate/status", b"")
        edge.subscriber.wait_for(f"{B}/gate/enabled/state", b"")
        edge.wait_for_frames("dock", 10)
        assert set(edge.metrics("rfdetr_edge_camera_up")) == {("dock",), ("yard",)}
        assert get(f"{edge.page}cameras/gate/snapshot.jpg")[0] == 404
        assert {camera["id"] for camera in get_json(f"{edge.page}cameras")[1]["cameras"]} == {
            *("dock", "yard"),
        }
        held = broker.retained(f"{B}/#")
        assert not [topic for topic in held if topic.startswith(f"{B}/gate/")]
        assert not [topic for topic in held if topic.startswith(f"{B}/yard/zone/")]

        edge.reload("reloaded: cameras added: gate", cameras=[DOCK, YARD, GATE])
        edge.wait_for_frames("gate", 5)
        assert edge.daemon.stop() == 0
        edge.subscriber.catch_up()

        assert_no_gap(edge.frames("dock"))
        assert_no_gap(edge.frames("yard"))  # its source was never closed
        gate = edge.frames("gate")
        assert [frame["seq"] for frame in gate] == list(range(1, len(gate) + 1))
        ids = [frame["frame"]["id"] for frame in gate]
        assert ids == sorted(set(ids)), "a camera that comes back counts on"
        reasons = {}
        for camera in ("dock", "yard", "gate"):
            events = received_events(edge.subscriber.payloads(f"{B}/{camera}/events"))
            reasons[camera] = {e["end_reason"] for e in events if e["type"] == "end"}
        assert "removed" not in reasons["dock"]
        assert "removed" in reasons["yard"]
        assert "removed" in reasons["gate"]


def test_a_bad_file_is_refused_and_what_ran_goes_on(tmp_path: Path, broker: Mosquitto) -> None:
    with reloadable(tmp_path, broker, DOCK) as edge:
        edge.wait_for_frames("dock", 5)
        line = edge.reload("sauce", cameras=[DOCK | {"sauce": "shapes:"}])
        assert "edge.yaml: cameras[0].sauce: unknown key (did you mean 'source'?)" in line
        edge.daemon.wait_for_line("reload refused: everything goes on as before")
        assert edge.metrics("rfdetr_edge_config_last_reload_successful") == {(): 0}
        edge.wait_for_frames("dock", 5)
        line = edge.reload(".classes", cameras=[DOCK | {"classes": ["unicorn"]}])
        assert "cameras[0].classes: 'unicorn' is none of the model's labels" in line
        edge.daemon.wait_for_line("reload refused")
        edge.reload("reloaded: nothing has changed", cameras=[DOCK])
        assert edge.metrics("rfdetr_edge_config_last_reload_successful") == {(): 1}
        edge.reload("http: has changed, which counts from the next start", http={"port": 1})
        edge.daemon.wait_for_line("reloaded")
        assert get(f"{edge.page}livez")[0] == 200
        assert edge.daemon.stop() == 0
        edge.subscriber.catch_up()
        assert_no_gap(edge.frames("dock"))


def test_a_new_checkpoint_is_swapped_in_between_two_frames(
    tmp_path: Path, broker: Mosquitto
) -> None:
    weights = tmp_path / "best.pth"
    shutil.copy(DEMO_CHECKPOINT, weights)
    model = {"path": str(weights), "type": "rfdetr-seg-demo", "confidence": 0.45, "device": "cpu"}
    with reloadable(tmp_path, broker, DOCK, YARD, model=model) as edge:
        edge.wait_for_frames("dock", 10)
        before = json.loads(edge.subscriber.payloads(f"{B}/info")[-1])["checkpoint_sha256"]
        checkpoint = torch.load(weights, weights_only=False)
        checkpoint["note"] = "trained for longer"
        torch.save(checkpoint, weights.with_suffix(".new"))
        os.replace(weights.with_suffix(".new"), weights)
        edge.reload("reloaded: the model was loaded anew")
        edge.wait_for_frames("dock", 10)
        edge.wait_for_frames("yard", 1)
        after = json.loads(edge.subscriber.payloads(f"{B}/info")[-1])["checkpoint_sha256"]
        assert after != before
        assert [set(labels) >= {after} for labels in edge.metrics("rfdetr_edge_model_info")] == [
            True
        ]

        # Other labels: what is open ends, for it has another meaning; the ids of tracks go on.
        names = [f"thing {i}" for i in range(4)]
        edge.reload("reloaded: the model was loaded anew", model=model | {"labels": names})
        edge.wait_for_frames("dock", 10)

        # One that is no checkpoint: refused, and nothing is heard of it.
        weights.write_bytes(b"half a file")
        edge.reload("reload refused")
        edge.wait_for_frames("dock", 5)
        assert edge.daemon.stop() == 0
        edge.subscriber.catch_up()
        for camera in ("dock", "yard"):
            frames = edge.frames(camera)
            assert_no_gap(frames)
            labels = [o["label"] for frame in frames for o in frame["objects"]]
            firsts = [label.startswith("thing") for label in labels]
            assert firsts == sorted(firsts), "an old frame with new labels, or the other way"
            assert firsts[0] is False
            assert firsts[-1] is True
            received_events(edge.subscriber.payloads(f"{B}/{camera}/events"))
