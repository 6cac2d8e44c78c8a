"""What a Jetson's kernel tells an ordinary user in files; each function reads one thing.

What is not there, or cannot be read now (a power-gated unit answers EAGAIN, a thermal zone without
its sensor EINVAL), is None or left out, never 0. Nothing here raises. Other computers have some of
the files too: `edge.jetson.is_jetson` tells which one this is. Paths and units: docs/jetson.md.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/")
_MOST_BYTES = 1 << 18  # nvpmodel.conf, the longest of them, has 20,000
_GPU_NAMES = ("gpu", "ga10b", "gv11b", "gp10b")  # of JetPack 6, and of Orin, Xavier, TX2 before it
_GPU_LOAD = (
    "sys/devices/platform/bus@0/17000000.gpu/load",
    "sys/devices/platform/gpu.0/load",
    "sys/devices/gpu.0/load",
)
_PLAUSIBLE_C = (-100.0, 200.0)  # -256 is how a sensor that is switched off answers


@dataclass(frozen=True, slots=True)
class GpuClock:
    """``max_hz`` is the limit in force: of the power mode, or lower while the kernel throttles."""

    current_hz: int | None
    max_hz: int | None
    governor: str | None


@dataclass(frozen=True, slots=True)
class TripPoint:
    """A temperature at which the kernel acts: ``passive``, ``active``, ``hot`` or ``critical``.

    ``slows`` where clocks are lowered there. An Orin has passive trips that only raise an alert
    (70 °C: the surface is hot to the touch), so it goes by the cooling devices bound to the trip.
    """

    kind: str
    celsius: float
    slows: bool


@dataclass(frozen=True, slots=True)
class ThermalZone:
    name: str  # the kernel's: gpu-thermal, cpu-thermal, tj-thermal
    celsius: float | None
    trips: tuple[TripPoint, ...]

    @property
    def throttles_at_c(self) -> float | None:
        """The lowest temperature at which the kernel slows the board because of this zone."""
        return min((trip.celsius for trip in self.trips if trip.slows), default=None)


@dataclass(frozen=True, slots=True)
class CoolingDevice:
    """What the kernel can do against heat; ``state`` is 0 while it does nothing."""

    name: str
    state: int

    @property
    def slows(self) -> bool:
        """It lowers clocks, or tells that the firmware does; no fan, and no alert for fingers."""
        return "fan" not in self.name.lower() and "hot-surface" not in self.name


@dataclass(frozen=True, slots=True)
class OverCurrent:
    """How often the board's supply failed it since boot; a healthy one may show some ``oc3``."""

    event: str  # oc1 under-voltage, oc2 average over-current, oc3 instantaneous over-current
    count: int
    throttles: bool  # whether the hardware throttles at such an event


@dataclass(frozen=True, slots=True)
class PowerRail:
    name: str  # VDD_IN is the whole module
    watts: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Shared by CPU and GPU, as it is on a Jetson."""

    total_bytes: int
    available_bytes: int


def board_model(root: Path = _ROOT) -> str | None:
    """E.g. ``NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super``."""
    return _text(root / "proc/device-tree/model")


def l4t_release(root: Path = _ROOT) -> str | None:
    """JetPack's version of Linux for Tegra, e.g. ``36.4.3``."""
    match = re.search(
        r"R(\d+) \(release\), REVISION: ([\d.]+)", _text(root / "etc/nv_tegra_release") or ""
    )
    return f"{match[1]}.{match[2]}" if match else None


def power_mode(root: Path = _ROOT) -> str | None:
    """The mode that nvpmodel has set, by name (``MAXN_SUPER``), else by number."""
    match = re.search(r"pmode:(\d+)", _text(root / "var/lib/nvpmodel/status") or "")
    if match is None:
        return None
    number = int(match[1])
    conf = _text(root / "etc/nvpmodel.conf") or ""
    named = re.search(rf"^<\s*POWER_MODEL\s+ID={number}\s+NAME=(\S+)", conf, re.MULTILINE)
    return named[1] if named else str(number)


def gpu_load(root: Path = _ROOT) -> float | None:
    """The share of time that the GPU works, 0 to 1."""
    folder = _gpu_devfreq(root)
    paths = [root / path for path in _GPU_LOAD]
    if folder is not None:
        paths.append(folder / "device/load")
    for path in paths:
        per_mille = _number(path)
        if per_mille is not None:
            return min(per_mille / 1000, 1.0)
    return None


def gpu_clock(root: Path = _ROOT) -> GpuClock | None:
    folder = _gpu_devfreq(root)
    if folder is None:
        return None
    return GpuClock(
        _number(folder / "cur_freq"), _number(folder / "max_freq"), _text(folder / "governor")
    )


def thermal_zones(root: Path = _ROOT) -> list[ThermalZone]:
    """Those with a name, in the kernel's order."""
    return [
        ThermalZone(name, _celsius(folder / "temp"), tuple(_trips(folder)))
        for folder in _numbered(root / "sys/class/thermal", "thermal_zone")
        if (name := _text(folder / "type"))
    ]


def cooling_devices(root: Path = _ROOT) -> list[CoolingDevice]:
    """Fans too, in the kernel's order."""
    return [
        CoolingDevice(name, state)
        for folder in _numbered(root / "sys/class/thermal", "cooling_device")
        if (name := _text(folder / "type")) and (state := _number(folder / "cur_state")) is not None
    ]


def over_current(root: Path = _ROOT) -> list[OverCurrent]:
    return [
        OverCurrent(event, count, _number(folder / f"{event}_throt_en") != 0)
        for folder in _hwmons(root, "soctherm_oc")
        for event in ("oc1", "oc2", "oc3")
        if (count := _number(folder / f"{event}_event_cnt")) is not None
    ]


def power_rails(root: Path = _ROOT) -> list[PowerRail]:
    """As the board's INA3221 monitors measure them, without unconnected channels."""
    rails = []
    for folder in _hwmons(root, "ina3221"):
        for channel in range(1, 4):  # the chip has three; a 7th is the sum of their shunts
            name = _text(folder / f"in{channel}_label")
            millivolts = _number(folder / f"in{channel}_input")
            milliamperes = _number(folder / f"curr{channel}_input")
            if name and name != "NC" and millivolts is not None and milliamperes is not None:
                rails.append(PowerRail(name, millivolts * milliamperes / 1e6))
    return rails


def memory(root: Path = _ROOT) -> Memory | None:
    text = _text(root / "proc/meminfo") or ""
    kib = {name: int(number) for name, number in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.M)}
    if "MemTotal" not in kib or "MemAvailable" not in kib:
        return None
    return Memory(kib["MemTotal"] * 1024, kib["MemAvailable"] * 1024)


def _trips(zone: Path) -> Iterator[TripPoint]:
    slowed_at = {
        _number(zone / f"{device.name}_trip_point")
        for device in _numbered(zone, "cdev")
        if CoolingDevice(_text(device / "type") or "fan", 0).slows
    }
    for path in _numbered(zone, "trip_point_", "_type"):
        number = int(path.name.removeprefix("trip_point_").removesuffix("_type"))
        kind, celsius = _text(path), _celsius(zone / f"trip_point_{number}_temp")
        if kind and celsius is not None:
            yield TripPoint(kind, celsius, kind == "passive" and number in slowed_at)


def _gpu_devfreq(root: Path) -> Path | None:
    for folder in _entries(root / "sys/class/devfreq"):
        name = _text(folder / "device/of_node/name") or folder.name.rpartition(".")[2]
        if name in _GPU_NAMES:
            return folder
    return None


def _hwmons(root: Path, name: str) -> Iterator[Path]:
    for folder in _numbered(root / "sys/class/hwmon", "hwmon"):
        if _text(folder / "name") == name:
            yield folder


def _numbered(folder: Path, prefix: str, suffix: str = "") -> list[Path]:
    """The entries ``<prefix><number><suffix>``, by number."""
    pattern = re.compile(re.escape(prefix) + r"(\d+)" + re.escape(suffix))
    found = [
        (int(match[1]), path)
        for path in _entries(folder)
        if (match := pattern.fullmatch(path.name))
    ]
    return [path for _, path in sorted(found)]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _celsius(path: Path) -> float | None:
    text = _text(path) or ""
    negative = text.startswith("-")
    millidegrees = _whole_number(text[negative:])
    if millidegrees is None:
        return None
    lowest, highest = _PLAUSIBLE_C
    celsius = millidegrees / (-1000 if negative else 1000)
    return celsius if lowest < celsius < highest else None


def _number(path: Path) -> int | None:
    return _whole_number(_text(path) or "")


def _whole_number(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,19}", text) else None


def _text(path: Path) -> str | None:
    """The file's text without its end of line or NUL; None where it is empty or cannot be read.

    By ``os.read``: where the kernel answers EAGAIN, Python's file objects return None or fail with
    a TypeError.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(file, _MOST_BYTES).decode(errors="replace").strip("\0\n ") or None
    except OSError:
        return None
    finally:
        os.close(file)
