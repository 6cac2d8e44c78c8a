"""The checks of how fast it is."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import cycle
from statistics import median
from types import SimpleNamespace
from typing import NamedTuple

import cuda_proofs as proofs
import torch
from gpu_facts import trace
from gpu_sitting import Failed, Sitting, Skip
from gpu_subjects import PRECISIONS, frames, must, seeded

from edge.bench.batches import measure_batches
from edge.bench.limits import copy_gbps
from edge.bench.scene import scene
from edge.frame import Image
from edge.inference.engine import Engine
from edge.inference.stage_times import StageTimes

BUSY_BAR, FRAME_SIZE_BAR, WHOLE_BAR, FORWARD_BAR = 0.9, 1.1, 4.0, 1.5


class Flow(NamedTuple):
    """Frames through an engine while more are waiting."""

    frames_per_s: float
    graph_share: float  # of the wall time, by events around each replay
    forward_ms: float
    upload_ms: float
    download_ms: float
    latency_ms: float  # from before a frame's submit to after its harvest


def flow(engine: Engine, images: Sequence[Image], seconds: float, depth: int) -> Flow:
    times: list[StageTimes] = []
    latencies: list[float] = []
    submitted: list[float] = []
    proofs.through(engine, images)
    start = time.perf_counter()
    for image in cycle(images):
        if engine.in_flight == depth:
            times.append(engine.harvest()[1])
            latencies.append(time.perf_counter() - submitted.pop(0))
            if time.perf_counter() - start > seconds:
                break
        submitted.append(time.perf_counter())
        engine.submit(image)
    wall = time.perf_counter() - start
    while engine.in_flight:
        engine.harvest()
    upload, forward, download = (1000 * median(column) for column in zip(*times, strict=True))
    share = sum(t.forward for t in times) / wall
    return Flow(len(times) / wall, share, forward, upload, download, 1000 * median(latencies))


def speed_of(name: str) -> Callable[[Sitting], str]:
    def speed(sitting: Sitting) -> str:
        images, told = frames(), []
        for short, dtype in PRECISIONS.items():
            engine = seeded(name, dtype)
            measured = flow(engine, images, min(3, sitting.left_s(0.05)), engine.depth)
            graph = f"{short} {measured.forward_ms:.2f} ms a graph"
            told.append(f"{graph}, {measured.frames_per_s:.0f} frames/s")
        return "; ".join(told)

    return speed


def busy(sitting: Sitting) -> str:
    engine, images = seeded(sitting.models[0]), frames()
    measured = flow(engine, images, 6, engine.depth)
    told = f"graphs ran {100 * measured.graph_share:.1f} % of 6 s"
    seen = trace(lambda: flow(engine, images, 1, engine.depth), sitting.folder / "busy.json")
    if seen is not None:
        told += f", kernels {100 * seen.busy:.1f} % (under the profiler, which slows launches)"
    return must(told if measured.graph_share < BUSY_BAR else None, told)


def copies(sitting: Sitting) -> str:
    engine = seeded(sitting.models[0])
    measured = flow(engine, frames(), 2, 1)
    speeds = [f"{kind} {gbps:.1f} GB/s" for kind, gbps in copy_gbps(engine.device).items()]
    frame = f"a frame up {measured.upload_ms:.2f} ms, its result down {measured.download_ms:.2f} ms"
    return f"{frame}; {', '.join(speeds)}"


def frame_size(sitting: Sitting) -> str:
    engine = seeded(sitting.models[0])
    own = scene((engine.resolution, engine.resolution), seed=7)[:3]
    rates: dict[int, list[Flow]] = {1: [], 2: []}
    ratios: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(3):  # in turns, so that a change of clocks meets both
        for depth, at_depth in ratios.items():
            small, large = (flow(engine, images, 1, depth) for images in (own, frames()))
            at_depth.append(small.frames_per_s / large.frames_per_s)
            rates[depth].append(large)
    alone, together = (median(ratios[depth]) for depth in (1, 2))
    told = f"{together:.3f} times a frame of its own size, {alone:.3f} with one in flight"
    return must(told if together > FRAME_SIZE_BAR else None, told)


def depth(sitting: Sitting) -> str:
    engine, images = seeded(sitting.models[0]), frames()
    turns = [(flow(engine, images, 1, 1), flow(engine, images, 1, 2)) for _ in range(3)]
    one, two = (median(side.frames_per_s for side in sides) for sides in zip(*turns, strict=True))
    late = [median(side.latency_ms for side in sides) for sides in zip(*turns, strict=True)]
    told = f"one in flight {one:.0f} frames/s ({late[0]:.2f} ms), two {two:.0f} ({late[1]:.2f} ms)"
    return must(told if two < one else None, told)


def batches(sitting: Sitting) -> str:
    told = []
    for name in sitting.models[:2]:
        engine = proofs.engine_of(proofs.model_named(name), torch.float16)
        measured = measure_batches(SimpleNamespace(engine=engine), 200)
        row = ", ".join(f"{batch.size}: {batch.per_picture.p50_ms:.2f}" for batch in measured)
        told.append(f"{name} {row} ms a picture")
    return "; ".join(told)


def soak(sitting: Sitting) -> str:
    engine, images = seeded(sitting.models[0]), frames()
    expected = proofs.through(engine, images)
    before, start = proofs.counters(engine), time.monotonic()
    seconds, done = sitting.left_s(0.4), 0
    while done < 10_000 and time.monotonic() - start < seconds:
        for _ in range(99):
            proofs.through(engine, images)
        for found, first in zip(proofs.through(engine, images), expected, strict=True):
            must(proofs.unlike(found, first), "")
        done += 100 * len(images)
    must(None if proofs.counters(engine) == before else "memory was allocated", "")
    if not done:
        raise Skip("no time is left: give more --minutes")
    return f"{done} frames in {time.monotonic() - start:.0f} s, every result as the first"


def opponents(sitting: Sitting) -> str:
    if not sitting.against:
        raise Skip("no --against")
    names = ",".join(pair.partition("=")[0] for pair in sitting.against)
    pythons = [option for pair in sitting.against for option in ("--python", pair)]
    wanted = ["--model-type", sitting.models[0], "--device", "cuda", "--precision", "fp16"]
    command = [sys.executable, "-m", "edge", "bench", "--json", "--turns", "60", "--cameras", "1"]
    try:
        run = subprocess.run(
            [*command, *wanted, "--against", names, *pythons],
            capture_output=True,
            text=True,
            timeout=max(sitting.left_s(), 60),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Skip("no time is left: give more --minutes") from None
    if not run.stdout.strip():
        raise Failed(run.stderr.strip().split("\n")[-1])
    versus = json.loads(run.stdout)["against"]
    sides = [side for side in versus["sides"] if side["name"] != "rfdetr-edge"]
    if not sides:
        raise Failed("; ".join(versus["failed"].values()))
    ratios = {
        f"{side['name']} {side['precision']}": (
            1 / side["ours_to_this"]["whole_frame"],
            1 / side["ours_to_this"]["forward"],
        )
        for side in sides
    }
    told = "; ".join(
        f"{whole:.1f} times {name} (forward {forward:.1f})"
        for name, (whole, forward) in ratios.items()
    )
    reached = all(
        whole >= WHOLE_BAR and forward >= FORWARD_BAR for whole, forward in ratios.values()
    )
    return must(None if reached else told, told)
