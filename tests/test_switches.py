"""Cameras switched over MQTT: what is obeyed, what is told, what is remembered."""

import logging
import threading
from types import SimpleNamespace

import pytest

from edge.camera_memory import CameraMemory
from edge.publish.topics import Topics
from edge.switches import CameraSwitches


class FakeCamera:
    def __init__(self, name: str) -> None:
        self.id, self.enabled = name, True
        self.calls: list[str] = []

    def enable(self) -> None:
        self.enabled = True
        self.calls.append("enable")

    def disable(self) -> None:
        self.enabled = False
        self.calls.append("disable")


class Node:
    def __init__(self, path) -> None:
        self.cameras = {name: FakeCamera(name) for name in ("dock", "yard")}
        self.memory = CameraMemory(path / "cameras.json")
        self.retained: dict[str, str] = {}
        self.handlers = {}
        self.heard = threading.Event()
        topics = Topics("rfdetr-edge", "node")
        outlets = SimpleNamespace(memory=self.memory, publisher=self, topics=topics)
        self.group = SimpleNamespace(current=tuple(self.cameras.values()))
        self.switches = CameraSwitches(self.group, outlets, self.heard)
        self.switches.listen()
        self.switches.follow()

    def publish_retained(self, topic, payload):
        self.retained[topic.removeprefix("rfdetr-edge/node/")] = payload

    def forget_retained(self, topic):
        del self.retained[topic.removeprefix("rfdetr-edge/node/")]

    def subscribe(self, topic, handler):
        self.handlers[topic] = handler

    def command(self, camera: str, payload: bytes, retained: bool = False) -> None:
        topic = f"rfdetr-edge/node/{camera}/enabled/set"
        self.handlers["rfdetr-edge/node/+/enabled/set"](topic, payload, retained)


def test_a_command_is_obeyed_told_and_remembered(tmp_path):
    node = Node(tmp_path)
    assert node.retained == {"dock/enabled/state": "ON", "yard/enabled/state": "ON"}
    node.command("dock", b"OFF")
    assert node.heard.is_set()
    assert node.cameras["dock"].calls == [], "not in the client's thread"
    node.switches.obey()
    assert node.cameras["dock"].calls == ["disable"]
    assert node.cameras["yard"].calls == []
    assert node.retained == {"dock/enabled/state": "OFF", "yard/enabled/state": "ON"}
    assert not CameraMemory(tmp_path / "cameras.json").enabled("dock")


def test_the_next_start_is_as_the_last_run_left_it(tmp_path):
    node = Node(tmp_path)
    node.command("yard", b"OFF")
    node.switches.obey()
    again = Node(tmp_path)
    assert again.cameras["yard"].calls == ["disable"]
    assert again.retained == {"dock/enabled/state": "ON", "yard/enabled/state": "OFF"}


def test_commands_are_obeyed_in_order(tmp_path):
    node = Node(tmp_path)
    for payload in (b"OFF", b"ON", b"OFF"):
        node.command("dock", payload)
    node.switches.obey()
    assert node.cameras["dock"].calls == ["disable", "enable", "disable"]


@pytest.mark.parametrize(
    ("payload", "retained", "said"),
    [(b"OFF", True, "retained command"), (b"off", False, "neither ON nor OFF")],
)
def test_what_is_no_command_changes_nothing_and_is_said(tmp_path, caplog, payload, retained, said):
    node = Node(tmp_path)
    with caplog.at_level(logging.WARNING):
        node.command("dock", payload, retained)
    node.switches.obey()
    assert node.cameras["dock"].calls == []
    assert said in caplog.text
    assert "dock/enabled/set" in caplog.text


def test_cameras_come_as_they_were_left_and_go_with_their_topic(tmp_path):
    node = Node(tmp_path)
    node.memory.set_enabled("gate", False)
    gate = FakeCamera("gate")
    node.group.current = (node.cameras["dock"], gate)
    node.switches.follow()
    assert gate.calls == ["disable"]
    assert node.cameras["dock"].calls == []
    assert node.retained == {"dock/enabled/state": "ON", "gate/enabled/state": "OFF"}


def test_a_command_for_no_camera_is_said(tmp_path, caplog):
    node = Node(tmp_path)
    node.command("gone", b"OFF")
    node.switches.obey()
    assert "there is no camera gone" in caplog.text
    assert "gone/enabled/state" not in node.retained
