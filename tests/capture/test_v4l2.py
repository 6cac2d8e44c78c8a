"""USB cameras, with the system calls of one faked: no test machine has a real one.

What is shown here is our part and OpenCV's; what a kernel driver does beyond that is not.
"""

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.capture.address import UsbAddress
from edge.capture.source import SourceError
from edge.capture.v4l2 import V4l2Source

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

HERE = Path(__file__).parent
DEVICE = "/dev/video97"


class UsbCamera:
    """The process that reads the camera, and the plug of the camera."""

    def __init__(self, folder: Path, jpeg: Path | None = None, **asked: object) -> None:
        self._control, self.requests = folder / "control", folder / "requests"
        self.requests.touch()
        self.be("run")
        environment = {
            **os.environ,
            "LD_PRELOAD": str(folder / "fakecam.so"),
            "FAKECAM_DEVICE": DEVICE,
            "FAKECAM_CONTROL": str(self._control),
            "FAKECAM_LOG": str(self.requests),
        }
        if jpeg is not None:
            environment["FAKECAM_JPEG"] = str(jpeg)
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "usb_reader.py"), json.dumps({"device": DEVICE, **asked})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def be(self, state: str) -> None:
        self._control.write_text(state)

    def ask(self, call: str) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(call, file=self.process.stdin, flush=True)
        readable, _, _ = select.select([self.process.stdout], [], [], 30)
        assert readable, f"{call}: no answer in 30 s"
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        with self.process:  # closes its pipes, which ends it, and waits
            pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    library = tmp_path / "fakecam.so"
    compiler = ["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Wno-maybe-uninitialized"]
    subprocess.run([*compiler, "-o", library, HERE / "fakecam.c", "-ldl"], check=True)
    return tmp_path


@pytest.fixture
def camera(folder: Path) -> Iterator[UsbCamera]:
    camera = UsbCamera(folder, size=[320, 240], fps=15, fourcc="YUYV")
    yield camera
    camera.close()


def test_delivers_what_it_was_asked_for(camera: UsbCamera) -> None:
    opened = camera.ask("open")
    assert opened["description"] == "YUYV 320x240 at 15 fps"
    assert opened["logged"] == [f"INFO {DEVICE}: granted YUYV 320x240 at 15 fps"]
    first, second = camera.ask("read"), camera.ask("read")
    assert first["shape"] == second["shape"] == [240, 320, 3]
    assert second["level"] > first["level"]  # the device counts in grey levels


def test_asks_for_the_format_before_the_size_before_the_rate(folder: Path) -> None:
    camera = UsbCamera(folder, size=[320, 240], fps=15, fourcc="MJPG")
    camera.ask("open")
    camera.close()
    requests = camera.requests.read_text().splitlines()
    first_format = next(i for i, r in enumerate(requests) if r.startswith("format MJPG"))
    first_size = next(i for i, r in enumerate(requests) if r.endswith(" 320x240"))
    first_rate = requests.index("rate 15")
    assert first_format < first_size < first_rate


@pytest.mark.parametrize("decode_jpeg", [False, True])
def test_mjpg_is_decoded_by_opencv_or_by_the_decoder_it_is_given(
    folder: Path, decode_jpeg: bool
) -> None:
    jpeg = folder / "frame.jpg"
    cv2.imwrite(str(jpeg), np.full((240, 320, 3), (200, 100, 30), np.uint8))
    camera = UsbCamera(folder, jpeg, size=[320, 240], fourcc="MJPG", decode_jpeg=decode_jpeg)
    opened, read = camera.ask("open"), camera.ask("read")
    camera.close()
    assert opened["codec"] == "mjpeg"
    assert opened["decoder"] == ("nvjpeg" if decode_jpeg else "software")
    assert read["shape"] == [240, 320, 3]
    assert np.abs(np.subtract(read["bgr"], (200, 100, 30))).max() < 4
    assert read["logged"] == (["JPEG ffd8…ffd9"] if decode_jpeg else [])


def test_a_damaged_jpeg_is_a_damaged_frame(folder: Path) -> None:
    jpeg = folder / "frame.jpg"
    jpeg.write_bytes(b"\xff\xd8 this is no picture \xff\xd9")
    camera = UsbCamera(folder, jpeg, fourcc="MJPG", decode_jpeg=True)
    camera.ask("open")
    assert camera.ask("read")["damaged"] is True
    camera.close()


def test_warns_where_it_gets_something_else(folder: Path) -> None:
    camera = UsbCamera(folder, size=[1920, 1080], fps=60, fourcc="MJPG")
    opened = camera.ask("open")
    camera.close()
    assert opened["logged"] == [
        f"INFO {DEVICE}: granted YUYV 640x480 at 30 fps",
        f"WARNING {DEVICE}: asked for fourcc MJPG but got YUYV; "
        "size 1920x1080 but got 640x480; fps 60 but got 30",
    ]


def test_unplugged_and_plugged_in_again(camera: UsbCamera) -> None:
    camera.ask("open")
    camera.ask("read")
    camera.be("unplug")
    assert camera.ask("read")["error"] == f"{DEVICE}: stopped delivering frames; was it unplugged?"
    camera.ask("close")
    assert camera.ask("open")["error"] == f"{DEVICE}: no such device; is the camera plugged in?"
    camera.ask("close")
    camera.be("run")
    assert "error" not in camera.ask("open")
    assert camera.ask("read")["shape"] == [240, 320, 3]


def test_a_frozen_camera_is_an_error_and_no_frame(camera: UsbCamera) -> None:
    camera.ask("open")
    camera.ask("read")
    camera.be("stall")
    assert camera.ask("read")["error"] == f"{DEVICE}: no frame for 3 s"


def test_an_absent_camera_is_named() -> None:
    source = V4l2Source(UsbAddress(98), read_timeout_s=3.0)
    with pytest.raises(SourceError, match=r"^/dev/video98: no such device"):
        source.open()
    source.close()


def test_something_else_than_a_camera_is_named(tmp_path: Path) -> None:
    source = V4l2Source(UsbAddress("/dev/null"), read_timeout_s=3.0)
    with pytest.raises(SourceError, match=r"^/dev/null: is busy or is not a video capture device"):
        source.open()
    source.close()
