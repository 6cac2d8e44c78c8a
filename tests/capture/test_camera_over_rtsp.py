"""A camera through the failures of a real server."""

import logging
import socket
import time
from contextlib import closing
from pathlib import Path

import pytest
from rtsp_server import RtspServer, pattern
from scripted_camera import until

from edge.capture.address import RtspAddress
from edge.capture.camera import Camera
from edge.capture.slot import FrameSlots
from edge.capture.timing import Backoff
from edge.config import CameraSettings
from edge.frame import Frame
from edge.metrics import DROP_REASONS, Metrics

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90)]
DEADLINE_S = 30.0


class Rig:
    """A camera, what it delivers, and what it counts."""

    def __init__(self, url: str) -> None:
        self.metrics = Metrics()
        self.slots = FrameSlots(["dock"])
        settings = CameraSettings.model_construct(
            id="dock",
            source=RtspAddress(url),
            transport="tcp",
            open_timeout_s=5.0,
            read_timeout_s=1.0,
            max_fps=None,
            ignore=[],
        )
        backoff = Backoff(first_s=0.2, most_s=0.5)
        self.camera = Camera(settings, self.slots["dock"], self.metrics, backoff=backoff)
        self.taken = 0

    def take(self) -> Frame:
        frame = self.slots.take(DEADLINE_S)
        assert frame is not None, self.camera.reason
        self.taken += 1
        return frame

    def next_after(self, uptime_s: float) -> Frame:
        """The first frame that was captured later than this."""
        deadline = time.monotonic() + DEADLINE_S
        while (frame := self.take()).captured_at.uptime_s <= uptime_s:
            assert time.monotonic() < deadline
        return frame

    def count(self, name: str, **labels: str) -> int:
        sample = f"rfdetr_edge_{name}"
        return int(
            self.metrics.registry.get_sample_value(sample, {"camera": "dock", **labels}) or 0
        )

    def stop_and_balance(self) -> None:
        """Each captured frame was taken, dropped, or waits: nothing is lost and nothing made up."""
        self.camera.stop()
        assert self.camera.join(DEADLINE_S)
        waiting = len(self.slots.drain())
        dropped = sum(self.count("frames_dropped_total", reason=reason) for reason in DROP_REASONS)
        assert self.count("frames_captured_total") == self.taken + dropped + waiting


def test_reconnects_after_the_server_was_killed_and_started_again() -> None:
    with RtspServer({"cam": pattern()}) as server:
        rig = Rig(server.url("cam"))
        rig.camera.start()
        first = rig.take()
        server.kill()
        killed_s = rig.camera._clock.uptime_s()
        server.start()
        again = rig.next_after(killed_s + 1.0)
        rig.stop_and_balance()
    assert again.id > first.id
    assert rig.count("camera_reconnects_total") >= 1


def test_reconnects_after_the_server_froze(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with RtspServer({"cam": pattern()}) as server:
        rig = Rig(server.url("cam"))
        rig.camera.start()
        rig.take()
        server.freeze()
        deadline = time.monotonic() + DEADLINE_S
        while not rig.camera.reason:
            rig.slots.take(0.05)
            assert time.monotonic() < deadline
        assert rig.camera.reason.endswith("no data for 1 s")
        assert rig.count("camera_up") == 0
        rig.taken = rig.count("frames_captured_total") - rig.count(
            "frames_dropped_total", reason="overwritten"
        )
        rig.taken -= len(rig.slots.drain())
        server.thaw()
        thawed_s = rig.camera._clock.uptime_s()
        rig.next_after(thawed_s)
        rig.camera.stop()
        assert rig.camera.join(DEADLINE_S)
    levels = [r.levelname for r in caplog.records if r.name == "edge.capture.camera"]
    assert levels[:2] == ["INFO", "WARNING"]


def test_comes_up_when_the_camera_does() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as unused:
        port = unused.getsockname()[1]
    server = RtspServer({"cam": pattern()})
    server.port = port
    rig = Rig(f"rtsp://127.0.0.1:{port}/cam")
    rig.camera.start()
    deadline = time.monotonic() + DEADLINE_S
    while not rig.camera.reason:
        assert time.monotonic() < deadline
    assert "connection refused" in rig.camera.reason
    assert rig.camera.state(rig.camera._clock.uptime_s()) == "offline"
    with server:
        rig.take()
        assert rig.camera.reason == ""
        assert rig.camera.state(rig.camera._clock.uptime_s()) == "online"
        assert rig.camera.size == (480, 640)
        assert str(rig.camera.description) == "h264 over TCP 640x480 at 25 fps"
        rig.stop_and_balance()


def connections(server: RtspServer) -> int:
    """How many TCP connections the server has open on its port."""
    established, here = "01", f"0100007F:{server.port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1] == here and row[3] == established for row in rows)


def test_off_hangs_up_and_on_connects_again() -> None:
    with RtspServer({"cam": pattern()}) as server:
        rig = Rig(server.url("cam"))
        rig.camera.start()
        first = rig.take()
        assert connections(server) == 1
        rig.camera.disable()
        assert rig.camera.state(rig.camera._clock.uptime_s()) == "disabled"
        until(lambda: connections(server) == 0)
        assert rig.camera.join(DEADLINE_S)
        captured = rig.count("frames_captured_total")
        rig.camera.enable()
        again = rig.take()
        assert connections(server) == 1
        assert again.id >= captured > first.id
        assert rig.count("camera_reconnects_total") == 0
        assert rig.camera.reason == ""
        rig.stop_and_balance()


def test_off_ends_the_attempts_to_reach_a_camera_that_is_away() -> None:
    with RtspServer({"cam": pattern()}) as server:
        rig = Rig(server.url("cam"))
        server.kill()
        rig.camera.start()
        until(lambda: rig.count("camera_reconnects_total") >= 1)
        rig.camera.disable()
        assert rig.camera.join(DEADLINE_S)
        reconnects = rig.count("camera_reconnects_total")
        server.start()
        rig.camera.supervise(rig.camera._clock.uptime_s() + 100)
        assert connections(server) == 0
        rig.camera.enable()
        rig.take()
        assert rig.count("camera_reconnects_total") == reconnects
        rig.stop_and_balance()
