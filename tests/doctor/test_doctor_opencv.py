"""OpenCV: which build is used, and whether it loads."""

from typing import Any

import pytest
from machines import JETPACK_OPENCV, WHEEL_OPENCV, answering, computer, jetson

from edge.doctor import opencv
from edge.doctor.finding import ok

WHEEL = ["opencv-python-headless 4.14.0.94"]


def judged(machine, facts, wheels=()):
    return list(opencv.opencv(machine, facts, list(wheels)))


def test_which_build_it_is(tmp_path):
    machine, _ = jetson(tmp_path / "jetson")
    assert judged(machine, JETPACK_OPENCV) == [ok("opencv", "4.8.0, JetPack's own, with GStreamer")]
    assert judged(machine, WHEEL_OPENCV, WHEEL) == [
        ok("opencv", "4.14.0, pip's in front of JetPack's own, without GStreamer")
    ]
    machine, _ = computer(tmp_path / "pc")
    assert judged(machine, WHEEL_OPENCV, WHEEL) == [ok("opencv", "4.14.0, without GStreamer")]


def test_two_wheels_over_each_other(tmp_path):
    machine, _ = computer(tmp_path)
    first, second = judged(machine, WHEEL_OPENCV, ["opencv-python 4.9.0.80", *WHEEL])
    assert first.level == "warn"
    assert first.fix.startswith("pip uninstall opencv-python opencv-python-headless,")
    assert second.level == "ok"


def test_opencv_5_is_untested(tmp_path):
    machine, _ = computer(tmp_path)
    findings = judged(machine, {**WHEEL_OPENCV, "version": "5.0.0"})
    assert [f.level for f in findings] == ["warn", "ok"]


@pytest.mark.parametrize(
    ("facts", "what", "fix"),
    [
        (
            {"failed": "No module named 'cv2'", "missing": "cv2"},
            "is not installed",
            "nvidia-opencv",
        ),
        (
            {"failed": "libGL.so.1: cannot open shared object file"},
            "cannot be loaded: libGL.so.1: cannot open shared object file",
            "headless",
        ),
        (
            {"failed": "numpy.core.multiarray failed to import"},
            "cannot be loaded: numpy.core.multiarray failed to import",
            "numpy<2",
        ),
        ({"failed": "crashed (SIGSEGV)"}, "cannot be loaded: crashed (SIGSEGV)", "nvidia-opencv"),
    ],
)
def test_an_opencv_that_does_not_load(tmp_path, facts: dict[str, Any], what, fix):
    machine, _ = jetson(tmp_path)
    (finding,) = judged(machine, facts)
    assert (finding.level, finding.what) == ("fail", what)
    assert fix in finding.fix


def test_the_probe_that_crashed_is_a_fact(tmp_path):
    machine, _ = computer(tmp_path, probe=answering(opencv="crashed (SIGSEGV)"))
    assert opencv.opencv_facts(machine) == {"failed": "crashed (SIGSEGV)"}
