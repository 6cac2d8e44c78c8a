"""OpenCV and GStreamer: which build is it, and can it use the board's decoders?"""

from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

from edge.doctor.finding import Finding, fail, ok, warn
from edge.doctor.machine import Machine, ProbeFailed

if TYPE_CHECKING:
    from edge.config import Config

_PROBE_S = 60.0  # the first time, GStreamer loads every plugin once to list it
_PATH = ("usr/bin", "usr/sbin", "bin", "sbin")
_WHEELS = tuple(
    f"opencv-{kind}"
    for kind in ("python", "python-headless", "contrib-python", "contrib-python-headless")
)
_JETPACK_BUILDS = ("usr/lib/python3*/dist-packages/cv2", "usr/local/lib/python3*/dist-packages/cv2")
_JETPACK_FIX = (
    "sudo apt-get install nvidia-opencv, in an environment made with --system-site-packages"
)
# What the pipelines in edge/capture/pipelines.py are made of, and the packages that have it.
_NVIDIA = ("nvv4l2decoder", "nvvidconv", "nvarguscamerasrc")
_USUAL = (
    *("rtspsrc", "rtph264depay", "rtph265depay", "h264parse", "h265parse"),
    *("v4l2src", "jpegparse", "videoconvert", "appsink"),
)
_NVIDIA_FIX = (
    "sudo apt-get install nvidia-l4t-gstreamer; where it is there,"
    " rm -r ~/.cache/gstreamer-1.0 (a list of what failed before)"
)
_USUAL_FIX = "sudo apt-get install gstreamer1.0-plugins-{base,good,bad}"


def installed_wheels() -> list[str]:
    """pip's builds of OpenCV in this environment, ``name version`` each."""
    found = []
    for name in _WHEELS:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            pass
    return found


def opencv_facts(machine: Machine) -> Mapping[str, Any]:
    """What the probe says; ``failed`` holds half a sentence where it could not answer."""
    try:
        return machine.probe(["opencv"], _PROBE_S)
    except ProbeFailed as error:
        return {"failed": str(error)}


def opencv(
    machine: Machine, facts: Mapping[str, Any], wheels: list[str], config: "Config | None"
) -> Iterator[Finding]:
    if len(wheels) > 1:
        yield warn(
            "opencv",
            f"{' and '.join(wheels)} overwrite each other's files",
            f"pip uninstall {' '.join(wheel.split()[0] for wheel in wheels)}, then install one",
        )
    if "version" not in facts:
        yield _unusable(machine, facts)
        return
    version = facts["version"]
    if int(version.split(".")[0]) > 4:
        yield warn("opencv", f"{version} is untested", "pip install 'opencv-python-headless<5'")
    if facts["gstreamer"]:
        yield ok("opencv", f"{version} with GStreamer")
    elif not machine.jetson and not _needs_gstreamer(config):
        yield ok("opencv", f"{version}, without GStreamer")
    else:
        yield _without_gstreamer(machine, version, wheels, config)


def _unusable(machine: Machine, facts: Mapping[str, Any]) -> Finding:
    fix = _JETPACK_FIX if machine.jetson else "install the extra opencv (README, Install)"
    if facts.get("missing") == "cv2":
        return fail("opencv", "is not installed", fix)
    error = facts["failed"]
    if "libGL" in error:
        fix = "pip uninstall opencv-python, and pip install 'opencv-python-headless<5'"
    elif "numpy" in error or "_ARRAY_API" in error:
        fix = "pip install 'numpy<2': JetPack's OpenCV was built for it"
    return fail("opencv", f"cannot be loaded: {error}", fix)


def _without_gstreamer(
    machine: Machine, version: str, wheels: list[str], config: "Config | None"
) -> Finding:
    jetpack = [path for pattern in _JETPACK_BUILDS for path in machine.nodes(pattern)]
    if machine.jetson and wheels and jetpack:
        what = f"{version} of pip hides JetPack's own, which has GStreamer"
        fix = f"pip uninstall {' '.join(wheel.split()[0] for wheel in wheels)}"
    else:
        what = f"{version} has no GStreamer"
        fix = _JETPACK_FIX if machine.jetson else "install the system's python3-opencv instead"
    if _needs_gstreamer(config):
        return fail("opencv", f"{what}: csi: and gstreamer: cameras cannot be opened", fix)
    return warn("opencv", f"{what}: the CPU decodes", fix)


def _needs_gstreamer(config: "Config | None") -> bool:
    from edge.capture.address import CsiAddress, GstreamerAddress

    cameras = config.cameras if config is not None else ()
    return any(isinstance(camera.source, CsiAddress | GstreamerAddress) for camera in cameras)


def gstreamer_elements(machine: Machine) -> Iterator[Finding]:
    """What decoding by hardware and CSI cameras are made of."""
    if not machine.jetson:
        return
    try:
        has = machine.probe(["gstreamer", *_NVIDIA, *_USUAL], _PROBE_S)
    except ProbeFailed as error:
        yield warn("gstreamer", f"asking it {error}", _NVIDIA_FIX)
        return
    for elements, fix in ((_NVIDIA, _NVIDIA_FIX), (_USUAL, _USUAL_FIX)):
        missing = [element for element in elements if not has.get(element)]
        if missing:
            yield warn("gstreamer", f"has no {', '.join(missing)}", fix)
    if all(has.get(element) for element in (*_NVIDIA, *_USUAL)):
        yield ok("gstreamer", ", ".join(_NVIDIA))
    if not any(machine.nodes(f"{folder}/lsmod") for folder in _PATH):
        yield warn(
            "gstreamer",
            "nvv4l2decoder calls lsmod, which is not here",
            "sudo apt-get install kmod (in a container: in its image)",
        )
