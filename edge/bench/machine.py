"""What the figures were measured on: without it they mean nothing."""

import os
import platform
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

import torch

from edge.jetson import sysfs
from edge.version import __version__

BUSY_LOAD = 0.25  # of each core, by others, from which figures suffer


@dataclass(frozen=True, slots=True)
class Machine:
    """``load`` is the 1-minute load average before the benchmark; what is unknown is None."""

    date: str
    cpu: str
    cores: int
    threads: int
    usable_threads: int
    torch_threads: int
    board: str | None
    device: str
    gpu: str | None
    l4t: str | None
    power_mode: str | None
    load: float
    versions: dict[str, str]

    @property
    def busy(self) -> bool:
        return self.load > BUSY_LOAD * self.usable_threads


def describe(device: torch.device, root: Path = Path("/")) -> Machine:
    """This machine, as the kernel under ``root`` and torch tell of it."""
    cpuinfo = _read(root / "proc/cpuinfo")
    usable = len(os.sched_getaffinity(0))
    return Machine(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        cpu=cpu_model(cpuinfo) or platform.machine(),
        cores=physical_cores(cpuinfo) or usable,
        threads=os.cpu_count() or usable,
        usable_threads=usable,
        torch_threads=torch.get_num_threads(),
        board=sysfs.board_model(root),
        device=str(device),
        gpu=torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        l4t=sysfs.l4t_release(root),
        power_mode=power_mode(root),
        load=float((_read(root / "proc/loadavg").split() or ["0"])[0]),
        versions=_versions(device),
    )


def cpu_model(cpuinfo: str) -> str | None:
    match = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return match[1].strip() if match else None


def physical_cores(cpuinfo: str) -> int | None:
    """Cores as /proc/cpuinfo tells hyper-threads apart; None where it does not (on Arm)."""
    socket = re.findall(r"^physical id\s*:\s*(\d+)", cpuinfo, re.MULTILINE)
    core = re.findall(r"^core id\s*:\s*(\d+)", cpuinfo, re.MULTILINE)
    return len(set(zip(socket, core, strict=False))) or None


def power_mode(root: Path = Path("/")) -> str | None:
    """The Jetson's power mode, else the CPU's frequency governor, else None."""
    mode = sysfs.power_mode(root)
    if mode is not None:
        return f"nvpmodel {mode}"
    governor = _read(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip()
    return f"CPU governor {governor}" if governor else None


def _versions(device: torch.device) -> dict[str, str]:
    import cv2

    versions = {
        "rfdetr-edge": __version__,
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "OpenCV": cv2.__version__,
        "PyAV": metadata.version("av"),
    }
    if device.type == "cuda":
        versions["CUDA"] = str(torch.version.cuda)
        versions["cuDNN"] = str(torch.backends.cudnn.version())
    return versions


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
