"""May this user open the devices: GPU, cameras, camera daemon?"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edge.doctor.finding import Finding, fail, ok, warn
from edge.doctor.machine import Machine

if TYPE_CHECKING:
    from edge.config import Config

# JetPack 6's names first, then JetPack 5's; one of each row is enough.
_GPU_NODES = (
    ("dev/nvmap",),
    ("dev/nvgpu/igpu0/ctrl", "dev/nvhost-ctrl-gpu"),
    ("dev/dri/renderD*",),
)
_GROUPS = ("video", "render")


class Trouble(NamedTuple):
    what: str
    fix: str


def gpu_trouble(machine: Machine) -> Trouble | None:
    """The first reason in the device nodes why a program of this user gets no CUDA."""
    for patterns in _GPU_NODES:
        found = [node for pattern in patterns for node in machine.nodes(pattern)]
        if not found:
            return Trouble(
                f"/{patterns[0]} is missing",
                "start the container with --runtime nvidia"
                if machine.container
                else "the kernel did not load the GPU's driver: sudo dmesg | grep -i nvgpu",
            )
        for node in found:
            if not machine.may_use(node):
                return Trouble(*_refused(machine, node))
    return None


def _refused(machine: Machine, node: Path) -> tuple[str, str]:
    name, group, user = machine.shown(node), machine.group_of(node), machine.user.name
    what = f"{user} may not open {name} (group {group})"
    if machine.container:
        return what, f"start the container with --group-add {node.stat().st_gid}"
    known = machine.groups()
    if group in known and user in known[group].members:
        return what, f"{user} joined the group {group} only now: log out and in again"
    return what, f"sudo usermod -aG {group} {user}, then log out and in again"


def gpu_devices(machine: Machine) -> Iterator[Finding]:
    if not machine.jetson:
        return
    trouble = gpu_trouble(machine)
    if trouble is not None:
        yield fail("gpu devices", f"{trouble.what}", trouble.fix)
    else:
        yield ok("gpu devices", f"{machine.user.name} may open /dev/nvmap and the GPU's nodes")


def groups(machine: Machine) -> Iterator[Finding]:
    """The groups as such: a decoder or a camera that is plugged in later needs them, too."""
    if not machine.jetson or machine.user.uid == 0 or machine.container:
        return
    known = machine.groups()
    wanted = [name for name in _GROUPS if name in known]
    missing = [name for name in wanted if known[name].gid not in machine.user.groups]
    if missing:
        yield warn(
            "groups",
            f"{machine.user.name} is not in {' and '.join(missing)}",
            f"sudo usermod -aG {','.join(missing)} {machine.user.name}, then log out and in again",
        )
    else:
        yield ok("groups", f"{machine.user.name} is in {' and '.join(wanted)}")


def video_devices(machine: Machine) -> Iterator[Finding]:
    found = machine.nodes("dev/video[0-9]*")
    refused = [node for node in found if not machine.may_use(node)]
    if refused:
        what, fix = _refused(machine, refused[0])
        yield warn("video devices", f"{what}", fix)
    elif found:
        names = ", ".join(machine.shown(node) for node in found)
        yield ok("video devices", names)


def argus(machine: Machine, config: "Config | None") -> Iterator[Finding]:
    """The daemon behind ``csi:`` cameras; asked for only where there is one configured."""
    from edge.capture.address import CsiAddress

    if config is None or not any(isinstance(c.source, CsiAddress) for c in config.cameras):
        return
    if not machine.jetson:
        yield fail("argus", "csi: cameras exist on a Jetson only", "choose another source")
    elif not (machine.root / "tmp/argus_socket").exists():
        yield fail(
            "argus",
            "/tmp/argus_socket is missing: nvargus-daemon does not run, or is hidden from here",
            "in a container, mount it: -v /tmp/argus_socket:/tmp/argus_socket"
            if machine.container
            else "sudo systemctl restart nvargus-daemon",
        )
    else:
        yield ok("argus", "/tmp/argus_socket is there")
