"""Machines for the doctor: files as an Orin's documentation lays them out, and canned answers.

No board was at hand: what commands and libraries answer there is taken from documentation and from
users' reports.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jetson.trees import RELEASES, Orin, Tree, orin, pc

from edge.clock import Clock
from edge.doctor.machine import Machine, Probe, ProbeFailed, Ran, Run, User

VIDEO, RENDER = 44, 104
NODES = ("nvmap", "nvgpu/igpu0/ctrl", "dri/renderD128", "video0")
GROUPS = f"root:x:0:\nvideo:x:{VIDEO}:edge\nrender:x:{RENDER}:edge\nedge:x:1000:\n"
EDGE = User("edge", 1000, frozenset((1000, VIDEO, RENDER)))

UNIT = {
    "LoadState": "loaded",
    "UnitFileState": "enabled",
    "ActiveState": "active",
    "SubState": "running",
    "Result": "success",
    "NRestarts": "0",
    "ExecMainStatus": "0",
    "WatchdogUSec": "30s",
    "NeedDaemonReload": "no",
    "User": "edge",
    "SupplementaryGroups": "video render",
    "PrivateDevices": "no",
    "ProtectClock": "no",
    "PrivateTmp": "yes",
}

ORIN_TORCH = {
    "version": "2.8.0",
    "cuda": "12.6",
    "available": True,
    "driver_cuda": 12060,
    "architectures": ["sm_87"],
    "name": "Orin",
    "capability": "sm_87",
    "numpy": "1.26.4",
    "torchvision": "0.23.0",
}
CPU_TORCH = {
    "version": "2.10.0+cpu",
    "cuda": None,
    "available": False,
    "numpy": "2.2.6",
    "torchvision": "0.25.0",
}
JETPACK_OPENCV = {
    "version": "4.8.0",
    "file": "/usr/lib/python3.10/dist-packages/cv2",
    "gstreamer": True,
}
WHEEL_OPENCV = {
    "version": "4.14.0",
    "file": "/opt/site-packages/cv2/__init__.py",
    "gstreamer": False,
}


ALL_ELEMENTS = dict.fromkeys(
    (
        *("installed", "nvv4l2decoder", "nvvidconv", "nvarguscamerasrc", "rtspsrc", "rtph264depay"),
        *("rtph265depay", "h264parse", "h265parse", "v4l2src", "jpegparse"),
        *("videoconvert", "appsink"),
    ),
    True,
)


class SetClock(Clock):
    """A clock that stands still; by default at 2026-11-22T06:31:14Z and synchronised."""

    def __init__(self, wall_s: float = 1795329074.0, synced: bool = True) -> None:
        super().__init__(lambda: synced)
        self._wall_s = wall_s

    def now(self) -> Any:
        return super().now().__class__(self._wall_s, 10.0, self._synced())


class Commands:
    """Answers as the machine's commands would; what is not known here is not installed."""

    def __init__(self, unit: Mapping[str, str] = UNIT) -> None:
        self.unit = dict(unit)

    def __call__(self, command: Sequence[str]) -> Ran | None:
        match list(command):
            case ["systemctl", "--version"]:
                return Ran(0, "systemd 249 (249.11-0ubuntu3.12)\n+PAM +AUDIT\n", "")
            case ["systemctl", "show", *_]:
                return Ran(0, "".join(f"{k}={v}\n" for k, v in self.unit.items()), "")
        return None


def answering(**facts: Mapping[str, Any] | str) -> Probe:
    """A probe with these answers; a text is how it fails, what is left out is not installed."""

    def probe(arguments: Sequence[str], timeout_s: float) -> Mapping[str, Any]:
        answer = facts.get(arguments[0], {"failed": "No module named", "missing": arguments[0]})
        if isinstance(answer, str):
            raise ProbeFailed(answer)
        return answer

    return probe


def jetson(root: Path, jetpack: str = "6.2", **changed: Any) -> tuple[Machine, Tree]:
    """A healthy Orin Nano with everything installed, without its sensors; ``changed`` are fields
    of `Machine`."""
    tree = Tree(root)
    major, minor = RELEASES[jetpack].split(".", 1)
    tree.write("etc/nv_tegra_release", f"# R{major} (release), REVISION: {minor}, GCID: 1\n")
    kit = "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit"
    tree.write("proc/device-tree/model", f"{kit} Super\0")
    return _with_system(tree, changed), tree


def board(root: Path, jetpack: str = "6.2", **changed: Any) -> tuple[Machine, Orin]:
    """The same, with all its sensors."""
    tree = orin(root, jetpack)
    return _with_system(tree, changed), tree


def _with_system(tree: Tree, changed: Mapping[str, Any]) -> Machine:
    """What JetPack's installation and a set-up as documented add to the kernel's files."""
    tree.write("etc/group", GROUPS)
    for node in NODES:
        tree.write(f"dev/{node}", "")
    tree.write("usr/bin/lsmod", "")
    tree.write("usr/lib/python3.10/dist-packages/cv2/__init__.py", "")
    tree.write("sys/class/rtc/rtc0/since_epoch", "1795329000\n")
    tree.write("run/systemd/system/.here", "")
    tree.write("proc/swaps", "Filename Type Size Used Priority\n/dev/zram0 partition 3901340 0 5\n")
    tree.write("proc/self/mountinfo", "21 1 259:1 / / rw - ext4 /dev/nvme0n1p1 rw\n")
    libraries = answering(torch=ORIN_TORCH, opencv=JETPACK_OPENCV, gstreamer=ALL_ELEMENTS)
    usual = _usual(tree.root, Commands(), libraries)
    return Machine(**{**usual, "python": (3, 10), **changed})


def computer(root: Path, **changed: Any) -> tuple[Machine, Tree]:
    """A plain PC without a GPU, the package installed in a virtual environment."""
    tree = pc(root)
    tree.write("proc/self/mountinfo", "21 1 259:1 / / rw - ext4 /dev/sda1 rw\n")
    libraries = answering(torch=CPU_TORCH, opencv=WHEEL_OPENCV)
    return Machine(**{**_usual(root, Commands(), libraries), **changed}), tree


def _usual(root: Path, run: Run, probe: Probe) -> dict[str, Any]:
    folders = {"STATE_DIRECTORY": str(root), "CACHE_DIRECTORY": str(root)}
    return {
        "root": root,
        "environ": {"HOME": "/home/edge", **folders},
        "user": EDGE,
        "python": (3, 11),
        "run": run,
        "probe": probe,
        "clock": SetClock(),
    }
