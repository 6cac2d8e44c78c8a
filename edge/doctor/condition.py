"""How the board is doing right now: power, clocks, heat, memory."""

import re
from collections.abc import Iterator

from edge.doctor.finding import Finding, ok, warn
from edge.doctor.machine import Machine
from edge.jetson import sysfs
from edge.process import group_memory_left

_MIB, _GIB = 1 << 20, 1 << 30
_NEAR_TRIP_K = 5.0
# Estimates, not measured on a board: what torch with CUDA, a medium model and four cameras need.
_NEEDED_CUDA_BYTES, _NEEDED_CPU_BYTES = 2500 * _MIB, 1000 * _MIB


def power_mode(machine: Machine) -> Iterator[Finding]:
    mode = sysfs.power_mode(machine.root) if machine.jetson else None
    if mode is None:
        return
    modes = _modes(machine)
    others = f" of {', '.join(modes)}" if len(modes) > 1 else ""
    yield ok("power mode", f"{mode}{others}")


def _modes(machine: Machine) -> list[str]:
    try:
        text = (machine.root / "etc/nvpmodel.conf").read_text(errors="replace")
    except OSError:
        return []
    return re.findall(r"^<\s*POWER_MODEL\s+ID=\d+\s+NAME=(\S+)", text, re.MULTILINE)


def clocks(machine: Machine) -> Iterator[Finding]:
    clock = sysfs.gpu_clock(machine.root) if machine.jetson else None
    if clock is None or clock.current_hz is None or clock.max_hz is None:
        return
    now, limit = clock.current_hz / 1e6, clock.max_hz / 1e6
    yield ok("gpu clock", f"{now:.0f} of {limit:.0f} MHz (jetson_clocks holds it at the limit)")


def throttling(machine: Machine) -> Iterator[Finding]:
    if not machine.jetson:
        return
    devices = sysfs.cooling_devices(machine.root)
    active = [device.name for device in devices if device.slows and device.state > 0]
    if active:
        yield warn(
            "throttling",
            f"the board slows itself down now: {', '.join(active)}",
            "cool it, give it a stronger supply, or choose a lower power mode",
        )
    elif devices:
        yield ok("throttling", "none now")


def over_current(machine: Machine) -> Iterator[Finding]:
    counters = sysfs.over_current(machine.root) if machine.jetson else []
    counts = {counter.event: counter.count for counter in counters}
    if counts.get("oc1"):
        yield warn(
            "power supply",
            f"the voltage was too low {counts['oc1']} times since boot (oc1)",
            "use a supply and a cable for the board's full power",
        )
    if counts.get("oc2"):
        yield warn(
            "power supply",
            f"the average current was too high {counts['oc2']} times since boot (oc2)",
            "choose a lower power mode: sudo nvpmodel -m NUMBER",
        )
    if counts and not counts.get("oc1") and not counts.get("oc2"):
        peaks = counts.get("oc3", 0)
        usual = " (a healthy board may have some)" if peaks else ""
        yield ok("power supply", f"{peaks} current peaks since boot{usual}")


def temperature(machine: Machine) -> Iterator[Finding]:
    if not machine.jetson:
        return
    zones = [zone for zone in sysfs.thermal_zones(machine.root) if zone.celsius is not None]
    near = [
        f"{zone.name} {zone.celsius:.0f} °C, slowed at {zone.throttles_at_c:.0f} °C"
        for zone in zones
        if zone.celsius is not None
        and zone.throttles_at_c is not None
        and zone.celsius > zone.throttles_at_c - _NEAR_TRIP_K
    ]
    if near:
        yield warn(
            "temperature",
            f"close to where the board slows down: {'; '.join(near)}",
            "more air: a fan, a free heat sink, a cooler place; or a lower power mode",
        )
    elif zones:
        hottest = max(zones, key=lambda zone: zone.celsius or 0.0)
        yield ok("temperature", f"at most {hottest.celsius:.0f} °C ({hottest.name})")


def fan(machine: Machine) -> Iterator[Finding]:
    """A fan that is driven and stands still; boards without a fan or tachometer say nothing."""
    if not machine.jetson:
        return
    drive = _highest(machine, "sys/class/hwmon/hwmon*/pwm1")
    turns = _highest(machine, "sys/class/hwmon/hwmon*/rpm")
    if drive and turns == 0:
        yield warn(
            "fan", "is driven, but does not turn", "look whether it is plugged in and free to turn"
        )
    elif turns is not None:
        yield ok("fan", f"{turns} turns a minute")


def _highest(machine: Machine, pattern: str) -> int | None:
    values = []
    for path in machine.nodes(pattern):
        try:
            values.append(int(path.read_text()))
        except (OSError, ValueError):
            pass  # not this one
    return max(values, default=None)


def memory(machine: Machine, daemon_runs: bool) -> Iterator[Finding]:
    """CPU and GPU share it on a Jetson; swap helps the CPU's part alone."""
    read = sysfs.memory(machine.root)
    if read is None:
        return
    available, of = read.available_bytes, f"{read.total_bytes / _GIB:.1f} GiB"
    left = group_memory_left(machine.root)
    if left is not None and left < available:
        available, of = left, "the container's limit"
    needed = _NEEDED_CUDA_BYTES if machine.jetson else _NEEDED_CPU_BYTES
    text = f"{available / _GIB:.1f} GiB free of {of}, swap {_swap(machine)}"
    if available < needed and not daemon_runs:
        yield warn(
            "memory",
            f"{text}: a model may need {needed / _GIB:.1f} GiB",
            "sudo systemctl set-default multi-user.target (no desktop: some 0.8 GiB), a smaller"
            " model, fewer cameras"
            if machine.jetson
            else "end other programs, or use a smaller model",
        )
    else:
        yield ok("memory", text)


def _swap(machine: Machine) -> str:
    try:
        lines = (machine.root / "proc/swaps").read_text().splitlines()[1:]
    except OSError:
        return "unknown"
    kib = sum(int(line.split()[2]) for line in lines if len(line.split()) > 2)
    zram = " (zram)" if lines and all("/zram" in line for line in lines) else ""
    return f"{kib / 2**20:.1f} GiB{zram}" if kib else "none"
