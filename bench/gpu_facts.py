"""The GPU: what it is, and what a profiler's trace says it has done."""

import json
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, supported_activities

from edge.bench.machine import describe


def device_lines() -> list[str]:
    """Device, driver, versions, power mode and date, one fact a line."""
    machine = describe(torch.device("cuda:0"))
    properties = torch.cuda.get_device_properties(0)
    capability = f"sm_{properties.major}{properties.minor}"
    memory = f"{properties.total_memory / 2**30:.1f} GiB"
    facts = {
        "device": f"{machine.gpu} ({capability}, {properties.multi_processor_count} SMs, {memory})",
        "board": machine.board,
        "driver": driver(),
        "L4T": machine.l4t,
        "power mode": machine.power_mode or "not told by this machine",
        "versions": ", ".join(f"{name} {version}" for name, version in machine.versions.items()),
        "CPU": f"{machine.cpu}, {machine.usable_threads} threads",
        "date": machine.date,
    }
    return [f"{name}: {fact}" for name, fact in facts.items() if fact]


def driver() -> str | None:
    """The driver's version; a Jetson's is part of its L4T."""
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        said = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
        if said.returncode == 0 and said.stdout.strip():
            return said.stdout.split("\n")[0].strip()
    return None


@dataclass(frozen=True, slots=True)
class Trace:
    """What the device did: kernels as (start, end, name) in µs, in any order."""

    kernels: list[tuple[float, float, str]]

    @property
    def busy(self) -> float:
        """The share of the time from the first kernel's start to the last one's end in which at
        least one ran.
        """
        covered, until = 0.0, 0.0
        spans = sorted((start, end) for start, end, _ in self.kernels)
        for start, end in spans:
            covered += max(end - max(start, until), 0)
            until = max(until, end)
        return covered / (until - spans[0][0])

    def longest(self, count: int) -> list[tuple[str, float]]:
        """The kernels that take most of the time: (name, share of all kernels' time)."""
        spent: dict[str, float] = defaultdict(float)
        for start, end, name in self.kernels:
            spent[name] += end - start
        total = sum(spent.values())
        ranked = sorted(spent.items(), key=lambda item: -item[1])
        return [(name, time / total) for name, time in ranked[:count]]

    def named(self, *parts: str) -> set[str]:
        """The kernels with one of these words in their names."""
        names = {name for _, _, name in self.kernels}
        return {name for name in names if any(part in name.lower() for part in parts)}


def trace(job: Callable[[], object], file: Path) -> Trace | None:
    """What the device did during ``job``; None where this torch cannot tell (USE_KINETO=0)."""
    if ProfilerActivity.CUDA not in supported_activities():
        return None
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        job()
        torch.cuda.synchronize()
    profiler.export_chrome_trace(str(file))
    kernels = read_trace(json.loads(file.read_text(errors="replace"))["traceEvents"])
    return Trace(kernels) if kernels else None


def read_trace(events: Iterable[dict[str, Any]]) -> list[tuple[float, float, str]]:
    return [
        (e["ts"], e["ts"] + e["dur"], short(e["name"]))
        for e in events
        if e.get("cat") == "kernel" and "dur" in e
    ]


def short(name: str) -> str:
    """A kernel's name without the parameters and namespaces that make it fill a page."""
    name = name.removeprefix("void ").split("(")[0].split("<")[0]
    return name.rsplit("::", 1)[-1][:60]
