"""OpenCV: USB cameras, pictures for the page, outlines. Any build of it will do."""

from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any

from edge.doctor.finding import Finding, fail, ok, warn
from edge.doctor.machine import Machine, ProbeFailed

_PROBE_S = 30.0
_WHEELS = tuple(
    f"opencv-{kind}"
    for kind in ("python", "python-headless", "contrib-python", "contrib-python-headless")
)
_JETPACK_BUILDS = ("usr/lib/python3*/dist-packages/cv2", "usr/local/lib/python3*/dist-packages/cv2")
_JETPACK_FIX = (
    "sudo apt-get install nvidia-opencv, in an environment made with --system-site-packages"
)


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


def opencv(machine: Machine, facts: Mapping[str, Any], wheels: list[str]) -> Iterator[Finding]:
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
    jetpack = [path for pattern in _JETPACK_BUILDS for path in machine.nodes(pattern)]
    whose = ""
    if machine.jetson and jetpack:
        whose = ", pip's in front of JetPack's own" if wheels else ", JetPack's own"
    gstreamer = "with" if facts["gstreamer"] else "without"
    # Said for other programs in this environment: ours asks GStreamer itself.
    yield ok("opencv", f"{version}{whose}, {gstreamer} GStreamer")


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
