"""GStreamer: hardware decoding, CSI cameras and ``gstreamer:`` pipelines are made of it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge.doctor.finding import Finding, fail, ok, warn
from edge.doctor.machine import Machine, ProbeFailed

if TYPE_CHECKING:
    from edge.config import Config

_PROBE_S = 60.0  # the first time, GStreamer loads every plugin once to list it
_PATH = ("usr/bin", "usr/sbin", "bin", "sbin")

# What the pipelines in edge/capture/pipelines.py are made of, and the packages that have it.
NVIDIA = ("nvv4l2decoder", "nvvidconv", "nvarguscamerasrc")
USUAL = (
    *("rtspsrc", "rtph264depay", "rtph265depay", "h264parse", "h265parse"),
    *("v4l2src", "jpegparse", "videoconvert", "appsink"),
)
_NVIDIA_FIX = (
    "sudo apt-get install nvidia-l4t-gstreamer; where it is there,"
    " rm -r ~/.cache/gstreamer-1.0 (a list of what failed before)"
)
_USUAL_FIX = "sudo apt-get install gstreamer1.0-plugins-{base,good,bad}"


def gstreamer(machine: Machine, config: "Config | None") -> Iterator[Finding]:
    """Looked at on a Jetson, and where a camera is a pipeline of the user's own."""
    if not machine.jetson and not _has_pipelines(config):
        return
    wanted = (*NVIDIA, *USUAL) if machine.jetson else ("videoconvert", "appsink")
    try:
        has = machine.probe(["gstreamer", *wanted], _PROBE_S)
    except ProbeFailed as error:
        yield warn("gstreamer", f"asking it {error}", _NVIDIA_FIX)
        return
    if not has.get("installed"):
        if _has_pipelines(config):
            yield fail("gstreamer", "is not installed, but cameras need it", _USUAL_FIX)
        else:
            yield warn("gstreamer", "is not installed: the CPU decodes", _USUAL_FIX)
        return
    complete = True
    for elements, fix in ((NVIDIA, _NVIDIA_FIX), (USUAL, _USUAL_FIX)):
        missing = [name for name in elements if name in wanted and not has.get(name)]
        if missing:
            complete = False
            yield warn("gstreamer", f"has no {', '.join(missing)}", fix)
    if complete:
        yield ok("gstreamer", f"has {', '.join(NVIDIA if machine.jetson else wanted)}")
    if machine.jetson and not any(machine.nodes(f"{folder}/lsmod") for folder in _PATH):
        yield warn(
            "gstreamer",
            "nvv4l2decoder calls lsmod, which is not here",
            "sudo apt-get install kmod (in a container: in its image)",
        )


def _has_pipelines(config: "Config | None") -> bool:
    if config is None:
        return False
    from edge.capture.address import CsiAddress, GstreamerAddress

    return any(isinstance(c.source, CsiAddress | GstreamerAddress) for c in config.cameras)
