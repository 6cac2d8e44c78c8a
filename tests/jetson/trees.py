"""A Jetson Orin's files as NVIDIA's documents, device trees and drivers lay them out, and a PC's.

No board was at hand: names, trip points and bindings are those of JetPack 6 (L4T 36) on an Orin
Nano as documentation, the kernel's sources and users' listings show them.
"""

import os
from dataclasses import dataclass
from pathlib import Path

THERMAL = "sys/class/thermal"
GPU = "sys/devices/platform/bus@0/17000000.gpu"
OVER_CURRENT = "sys/devices/platform/soctherm-oc-event/hwmon/hwmon3"
POWER = "sys/devices/platform/bus@0/c240000.i2c/i2c-1/1-0040/hwmon/hwmon1"

ZONES = ("cpu", "gpu", "cv0", "cv1", "cv2", "soc0", "soc1", "soc2")  # and tj, the hottest of them
UNPOWERED = ("cv0", "cv1", "cv2")  # an Orin Nano has no deep learning accelerator: EAGAIN
FAN, CPUS, GPU_LIMIT, HOT_SURFACE = (
    "pwm-fan",
    "cpufreq-cpu0",
    "devfreq-17000000.gpu",
    "hot-surface-alert",
)
COOLING = (
    *(FAN, CPUS, "cpufreq-cpu4", GPU_LIMIT, HOT_SURFACE),
    *(f"{zone}-throttle-alert" for zone in ZONES),
)
RELEASES = {"6.0": "36.3.0", "6.1": "36.4.0", "6.2": "36.4.3"}
MODES = {
    "6.0": ("15W", "7W"),
    "6.1": ("15W", "7W"),
    "6.2": ("15W", "25W", "MAXN_SUPER"),
}


@dataclass(frozen=True)
class Tree:
    """Files below ``root``; every method writes one fact anew, as a kernel would show it."""

    root: Path

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        # As a whole, like a kernel's: a reader never sees a half.
        new = file.with_name(f".{file.name}.new")
        new.write_text(text)
        new.replace(file)
        return file

    def link(self, path: str, target: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.symlink_to(os.path.relpath(self.root / target, file.parent))

    def remove(self, path: str) -> None:
        (self.root / path).unlink()


class Orin(Tree):
    """An Orin Nano at rest: 45 °C, no throttling, ``oc3`` at 2 as healthy boards have it."""

    def heat(self, celsius: float, *zones: str) -> None:
        """Set the temperature of ``zones`` (``gpu``, …), or of all that have a sensor."""
        for zone in zones or set(ZONES) - set(UNPOWERED):
            self.write(f"{THERMAL}/thermal_zone{ZONES.index(zone)}/temp", f"{celsius * 1000:.0f}\n")
        tj = THERMAL + f"/thermal_zone{len(ZONES)}/temp"
        self.write(tj, f"{celsius * 1000:.0f}\n")

    def cool_with(self, device: str, state: int) -> None:
        """Set a cooling device's state: 0 is at rest."""
        self.write(f"{THERMAL}/cooling_device{COOLING.index(device)}/cur_state", f"{state}\n")

    def count_over_current(self, event: str, count: int) -> None:
        self.write(f"{OVER_CURRENT}/{event}_event_cnt", f"{count}\n")

    def run_gpu(self, load_per_mille: int, hz: int, max_hz: int = 1_020_000_000) -> None:
        self.write(f"{GPU}/load", f"{load_per_mille}\n")
        self.write(f"{GPU}/devfreq/17000000.gpu/cur_freq", f"{hz}\n")
        self.write(f"{GPU}/devfreq/17000000.gpu/max_freq", f"{max_hz}\n")

    def set_power_mode(self, number: int) -> None:
        self.write("var/lib/nvpmodel/status", f"pmode:{number:04d}\n")


def orin(root: Path, jetpack: str = "6.2") -> Orin:
    """The tree of an Orin Nano developer kit under ``root``."""
    tree = Orin(root)
    kit = "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit"
    tree.write("proc/device-tree/model", kit + (" Super\0" if jetpack == "6.2" else "\0"))
    tree.write("proc/device-tree/compatible", "nvidia,p3768-0000+p3767-0005\0nvidia,tegra234\0")
    major, minor = RELEASES[jetpack].split(".", 1)
    tree.write(
        "etc/nv_tegra_release",
        f"# R{major} (release), REVISION: {minor}, GCID: 38968081, BOARD: generic, "
        "EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025\n",
    )
    tree.write(
        "proc/meminfo",
        "MemTotal:        7802680 kB\nMemFree:  310080 kB\nMemAvailable:    4194304 kB\n",
    )
    modes = (
        f"< POWER_MODEL ID={n} NAME={name} >\nCPU_ONLINE CORE_0 1\n\n"
        for n, name in enumerate(MODES[jetpack])
    )
    tree.write("etc/nvpmodel.conf", "# comments and parameters first\n" + "".join(modes))
    tree.set_power_mode(0)
    _lay_out_gpu(tree)
    _lay_out_thermal(tree)
    _lay_out_supply(tree)
    return tree


def _lay_out_gpu(tree: Orin) -> None:
    devfreq = f"{GPU}/devfreq/17000000.gpu"
    tree.run_gpu(0, 306_000_000)
    tree.write(f"{devfreq}/governor", "nvhost_podgov\n")
    tree.link(f"{devfreq}/device", GPU)
    tree.write(f"{GPU}/of_node/name", "gpu\0")
    tree.link("sys/class/devfreq/17000000.gpu", devfreq)
    tree.link("sys/devices/platform/gpu.0", GPU)
    other = "sys/devices/platform/bus@0/13e00000.host1x/15340000.vic/devfreq/15340000.vic"
    tree.write(f"{other}/cur_freq", "115200000\n")
    tree.link("sys/class/devfreq/15340000.vic", other)


def _lay_out_thermal(tree: Orin) -> None:
    for number, device in enumerate(COOLING):
        tree.write(f"{THERMAL}/cooling_device{number}/type", f"{device}\n")
        tree.write(f"{THERMAL}/cooling_device{number}/max_state", "3\n")
        tree.cool_with(device, 0)
    for number, zone in enumerate(ZONES):
        folder = f"{THERMAL}/thermal_zone{number}"
        tree.write(f"{folder}/type", f"{zone}-thermal\n")
        _set_trips(tree, folder, ("passive", 99_000), ("critical", 104_500), ("passive", 70_000))
        bound = ((f"{zone}-throttle-alert", 0), (CPUS, 0), (GPU_LIMIT, 0), (HOT_SURFACE, 2))
        _bind(tree, folder, *bound)
    tj = f"{THERMAL}/thermal_zone{len(ZONES)}"
    tree.write(f"{tj}/type", "tj-thermal\n")
    _set_trips(
        tree, tj, ("active", 35_000), ("active", 74_000), ("active", 95_000), ("critical", 104_500)
    )
    _bind(tree, tj, (FAN, 0), (FAN, 1), (FAN, 2))
    tree.heat(45.0)
    for zone in UNPOWERED:  # a FIFO that nobody writes into has nothing to say, as their sensors
        os.mkfifo(tree.root / THERMAL / f"thermal_zone{ZONES.index(zone)}" / "temp")


def _set_trips(tree: Orin, zone: str, *trips: tuple[str, int]) -> None:
    for number, (kind, millidegrees) in enumerate(trips):
        tree.write(f"{zone}/trip_point_{number}_type", f"{kind}\n")
        tree.write(f"{zone}/trip_point_{number}_temp", f"{millidegrees}\n")
        tree.write(f"{zone}/trip_point_{number}_hyst", "0\n")


def _bind(tree: Orin, zone: str, *devices: tuple[str, int]) -> None:
    for number, (device, trip) in enumerate(devices):
        tree.link(f"{zone}/cdev{number}", f"{THERMAL}/cooling_device{COOLING.index(device)}")
        tree.write(f"{zone}/cdev{number}_trip_point", f"{trip}\n")
        tree.write(f"{zone}/cdev{number}_weight", "0\n")


def _lay_out_supply(tree: Orin) -> None:
    tree.write(f"{OVER_CURRENT}/name", "soctherm_oc\n")
    for event, count in (("oc1", 0), ("oc2", 0), ("oc3", 2)):
        tree.count_over_current(event, count)
        tree.write(f"{OVER_CURRENT}/{event}_throt_en", "1\n")
    tree.link("sys/class/hwmon/hwmon3", OVER_CURRENT)
    tree.write(f"{POWER}/name", "ina3221\n")
    rails = (("VDD_IN", 4984, 1856), ("VDD_CPU_GPU_CV", 4976, 400), ("NC", 0, 0))
    for channel, (rail, millivolts, milliamperes) in enumerate(rails, start=1):
        tree.write(f"{POWER}/in{channel}_label", f"{rail}\n")
        tree.write(f"{POWER}/in{channel}_input", f"{millivolts}\n")
        tree.write(f"{POWER}/curr{channel}_input", f"{milliamperes}\n")
    tree.write(f"{POWER}/in7_label", "sum of shunt voltages\n")
    tree.write(f"{POWER}/in7_input", "3200\n")
    tree.link("sys/class/hwmon/hwmon1", POWER)


def pc(root: Path) -> Tree:
    """An ordinary PC, which has thermal zones, cooling devices and memory, too."""
    tree = Tree(root)
    tree.write("proc/meminfo", "MemTotal:       16318480 kB\nMemAvailable:    9437184 kB\n")
    tree.write("sys/class/dmi/id/product_name", "OptiPlex 7090\n")
    tree.write(f"{THERMAL}/thermal_zone0/type", "x86_pkg_temp\n")
    tree.write(f"{THERMAL}/thermal_zone0/temp", "97000\n")
    tree.write(f"{THERMAL}/thermal_zone0/trip_point_0_type", "passive\n")
    tree.write(f"{THERMAL}/thermal_zone0/trip_point_0_temp", "95000\n")
    tree.write(f"{THERMAL}/cooling_device0/type", "Processor\n")
    tree.write(f"{THERMAL}/cooling_device0/cur_state", "3\n")
    tree.write("sys/class/hwmon/hwmon0/name", "coretemp\n")
    return tree
