"""Each camera of a configuration: does it open, and does a frame come?"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from edge.doctor.configuration import Site
from edge.doctor.finding import Finding, fail, ok, warn
from edge.doctor.machine import Machine, ProbeFailed

if TYPE_CHECKING:
    from edge.config import CameraSettings

_AT_A_TIME = 8
_START_S = 15.0  # a process of its own, and its libraries, on a slow board

# What the sources in edge/capture say, in part, and what to do about it.
FIXES = (
    ("(401)", "correct the user name and the password in source: (and in ${…} variables)"),
    ("(403)", "give that user the right to view, in the camera's own settings"),
    ("(404)", "correct the path in source: (the camera's manual has it)"),
    ("connection refused", "correct address and port in source:, and enable RTSP in the camera"),
    ("no answer within", "ping it: is it powered, and on this network? Or raise open_timeout_s"),
    ("does not offer transport", "set transport: to the other of tcp and udp"),
    ("no data for", "look at its network; or raise read_timeout_s"),
    ("no usable picture", "set a shorter key frame interval in the camera, and try transport: tcp"),
    ("no such device", "plug it in; ls -l /dev/v4l/by-id names what is there"),
    ("permission denied", "sudo usermod -aG video USER, then log out and in again"),
    ("GStreamer has no", "see the line gstreamer, above"),
    ("GStreamer is not installed", "see the line gstreamer, above"),
    ("is not a valid GStreamer", "try it with gst-launch-1.0, ending in fakesink"),
    ("is busy", "fuser -v names the program that has it; or name another /dev/video in source:"),
)
_OTHER_FIX = "docs/troubleshooting.md, Cameras"


def cameras(machine: Machine, site: Site, daemon_runs: bool) -> Iterator[Finding]:
    """All at once, in the order of the file; each ends by itself within its own timeouts."""
    settings = site.config.cameras

    def one(number: int) -> Sequence[Finding]:
        return list(camera(machine, site, number, daemon_runs))

    with ThreadPoolExecutor(min(_AT_A_TIME, len(settings))) as pool:
        for findings in pool.map(one, range(len(settings))):
            yield from findings


def camera(machine: Machine, site: Site, number: int, daemon_runs: bool) -> Iterator[Finding]:
    settings = site.config.cameras[number]
    subject = f"camera {settings.id}"
    try:
        facts = machine.probe(["camera", site.file, str(number)], _longest_s(settings))
    except ProbeFailed as error:
        yield fail(subject, f"{settings.source}: opening it {error}", _OTHER_FIX)
        return
    reason = facts.get("error") or facts.get("failed")
    if reason and daemon_runs and _is_exclusive(settings):
        yield ok(subject, f"{settings.source} is in use, as it should be while the daemon runs")
    elif reason:
        fix = next((fix for sign, fix in FIXES if sign in reason), _OTHER_FIX)
        yield fail(subject, f"{reason}", fix)
    else:
        width, height = facts["size"]
        stream, size = facts["stream"], f"{width}x{height}"
        yield ok(
            subject,
            f"{stream if size in stream else f'{stream} {size}'}, decoder {facts['decoder']},"
            f" first frame after {facts['seconds']:.1f} s",
        )
        if facts["fallen_back"]:
            yield warn(
                subject,
                f"does not use the hardware decoder: {facts['fallen_back']}",
                "see the line gstreamer, above; elsewhere than on a Jetson, decoder: software",
            )


def _longest_s(settings: "CameraSettings") -> float:
    """Connecting and the first packet each take ``open_timeout_s``; then a key frame must come."""
    from edge.capture.source import KEYFRAME_WAIT_S

    waits_s = 2 * settings.open_timeout_s + max(settings.read_timeout_s, KEYFRAME_WAIT_S)
    # In software to see what it sends, by hardware, and in software again where that failed.
    times = 1 if settings.decoder == "software" else 3
    return _START_S + times * waits_s


def _is_exclusive(settings: "CameraSettings") -> bool:
    """A device that one program at a time may use."""
    from edge.capture.address import CsiAddress, UsbAddress

    return isinstance(settings.source, CsiAddress | UsbAddress)
