"""What the daemon tells of itself, with cameras that deliver, fail, and are switched off."""

from pathlib import Path

import pytest

from edge.camera_group import CameraGroup
from edge.clock import Clock
from edge.config import CameraSettings
from edge.health import STALLED_AFTER_S, DaemonHealth
from edge.metrics import Metrics
from edge.rates import RateMeter

DEADLINE_S = 20.0


class Node:
    """Camera `up` delivers, camera `away` cannot; the model is warm, the loop turns."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        sources = {"up": "shapes:?size=64x48&fps=100", "away": f"file:{folder}/none.mp4"}
        settings = [
            CameraSettings.model_validate(
                {"id": name, "source": source}, context={"folder": Path()}
            )
            for name, source in sources.items()
        ]
        cameras = CameraGroup(settings, Metrics(), self.clock)
        self.slots = cameras.slots
        self.up, self.away = cameras.current
        self.health = DaemonHealth("dock-7", cameras, self.clock, lambda: True)
        self.turned_s = self.clock.uptime_s()
        self.health.begin({"inference": lambda: self.turned_s}, lambda: {"up": RateMeter()})
        self.health.model = "rfdetr-seg-demo"


@pytest.fixture
def node(tmp_path: Path):
    node = Node(tmp_path)
    node.up.start()
    node.away.start()
    assert node.slots.take(DEADLINE_S) is not None
    yield node
    for camera in (node.up, node.away):
        camera.stop()
        assert camera.join(DEADLINE_S)


def test_ready_while_one_camera_delivers(node: Node):
    node.turned_s = node.clock.uptime_s()
    assert node.health.ready() == (True, {"cameras": {"up": "online", "away": "offline"}})
    assert node.health.status_line() == "cameras 1/2 up, 0.0 frames/s, broker connected"


def test_not_ready_where_the_one_that_delivers_is_switched_off(node: Node):
    node.up.disable()
    ready, details = node.health.ready()
    assert not ready
    assert details == {
        "reason": "no camera delivers frames",
        "cameras": {"up": "disabled", "away": "offline"},
    }
    assert node.health.status_line().startswith("cameras 0/1 up (1 switched off), ")
    assert node.health.live()[0]


def test_cameras_that_are_all_switched_off_are_told_from_a_fault(node: Node):
    node.up.disable()
    node.away.disable()
    ready, details = node.health.ready()
    assert not ready
    assert details["reason"] == "every camera is switched off"
    assert node.health.status_line().startswith("cameras 0/0 up (2 switched off), ")
    assert node.health.live() == (True, {"state": "running"})


def test_a_camera_that_is_switched_off_is_shown_so(node: Node):
    node.up.disable()
    view, _ = node.health.cameras()
    assert (view.id, view.state, view.reason) == ("up", "disabled", "switched off")
    assert view.age_s is None
    assert view.size == (64, 48)


def test_a_loop_that_hangs_is_no_longer_live(node: Node):
    node.turned_s = node.clock.uptime_s() - STALLED_AFTER_S - 1
    live, details = node.health.live()
    assert not live
    assert str(details["reason"]).startswith("the inference loop has not turned for 2")
    assert node.health.ready()[0] is False
