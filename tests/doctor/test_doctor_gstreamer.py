"""GStreamer: the elements that decoding by hardware and CSI cameras are made of."""

import pytest
from machines import ALL_ELEMENTS, answering, computer, jetson
from sites import site

from edge.capture import pipelines
from edge.capture.address import parse_address
from edge.capture.source import StreamInfo
from edge.doctor import gstreamer
from edge.doctor.finding import ok
from edge.doctor.machine import run_probe


def test_nvidias_elements(tmp_path):
    machine, _ = jetson(tmp_path)
    assert [f.level for f in gstreamer.gstreamer(machine, None)] == ["ok"]


def test_elements_that_are_missing_are_named_with_their_packages(tmp_path):
    def told(*missing):
        facts = {**ALL_ELEMENTS, **dict.fromkeys(missing, False)}
        machine, _ = jetson(tmp_path / "-".join(missing), probe=answering(gstreamer=facts))
        return [(f.level, f.what, "l4t" in f.fix) for f in gstreamer.gstreamer(machine, None)]

    assert told("nvv4l2decoder", "nvarguscamerasrc") == [
        ("warn", "has no nvv4l2decoder, nvarguscamerasrc", True)
    ]
    assert told("h265parse") == [("warn", "has no h265parse", False)]


def test_a_gstreamer_that_crashes(tmp_path):
    machine, _ = jetson(tmp_path, probe=answering(gstreamer="crashed (SIGSEGV)"))
    (finding,) = gstreamer.gstreamer(machine, None)
    assert (finding.level, finding.what) == ("warn", "asking it crashed (SIGSEGV)")


@pytest.mark.e2e
def test_the_real_gstreamer_is_asked():
    asked = ["gstreamer", "videoconvert", "no-such-element"]
    assert run_probe(asked, 60) == {
        "installed": True,
        "videoconvert": True,
        "no-such-element": False,
    }


def test_what_the_pipelines_are_made_of_is_asked_for(tmp_path):
    address = parse_address("rtsp://10.0.0.4/x", tmp_path)
    granted = StreamInfo("mjpeg", (640, 480), 30.0)
    used = {
        *pipelines.elements(pipelines.rtsp_pipeline(address, "h264", "tcp", 5, 3)),
        *pipelines.elements(pipelines.rtsp_pipeline(address, "hevc", "tcp", 5, 3)),
        *pipelines.elements(pipelines.mjpg_pipeline("/dev/video0", granted, "nvv4l2decoder")),
        *pipelines.elements(pipelines.csi_pipeline(parse_address("csi:0", tmp_path))),
    }
    asked = []
    machine, _ = jetson(tmp_path, probe=lambda arguments, _: asked.extend(arguments) or {})
    list(gstreamer.gstreamer(machine, None))
    assert used - set(asked) == set()


def test_the_decoder_wants_lsmod(tmp_path):
    machine, tree = jetson(tmp_path)
    tree.remove("usr/bin/lsmod")
    ok_, finding = gstreamer.gstreamer(machine, None)
    assert ok_.level == "ok"
    assert (finding.level, "lsmod" in finding.what) == ("warn", True)


def test_a_computer_is_asked_only_for_pipelines_of_its_own(tmp_path):
    machine, _ = computer(tmp_path / "pc", probe=answering(gstreamer=ALL_ELEMENTS))
    assert list(gstreamer.gstreamer(machine, None)) == []
    shapes = site(tmp_path / "shapes", "shapes:").config
    assert list(gstreamer.gstreamer(machine, shapes)) == []
    pipeline = site(tmp_path / "pipeline", "gstreamer:videotestsrc").config
    assert list(gstreamer.gstreamer(machine, pipeline)) == [
        ok("gstreamer", "has videoconvert, appsink")
    ]


def test_no_gstreamer_at_all(tmp_path):
    machine, _ = jetson(tmp_path, probe=answering(gstreamer={"installed": False}))
    (finding,) = gstreamer.gstreamer(machine, None)
    assert (finding.level, finding.what) == ("warn", "is not installed: the CPU decodes")
    csi = site(tmp_path / "csi", "csi:0").config
    (finding,) = gstreamer.gstreamer(machine, csi)
    assert (finding.level, finding.what) == ("fail", "is not installed, but cameras need it")
