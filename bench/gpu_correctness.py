"""The checks of what must be right."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

import cuda_proofs as proofs
import torch
import torch.nn.functional as F
from gpu_facts import trace
from gpu_sitting import Failed, Sitting, Skip
from gpu_subjects import PRECISIONS, demo, frames, must, seeded
from torch.nn.attention import SDPBackend, sdpa_kernel

from edge.bench.scene import scene
from edge.inference.engine import Engine
from edge.model_source import DEMO_ID

DEVICE = torch.device("cuda:0")
THREE_FRAMES = """\
import sys
sys.path.insert(0, sys.argv[1])
import torch, cuda_proofs as proofs
from edge.bench.scene import scene
model, graphs = proofs.model_named(sys.argv[2]), sys.argv[3] == "graphs"
engine = proofs.engine_of(model, torch.float16, graphs=graphs)
proofs.through(engine, scene((1920, 1080), seed=7)[:3])
print("done")
"""


def environment(sitting: Sitting) -> str:
    q = torch.zeros(1, 6, 677, 64, dtype=torch.float16, device=DEVICE)
    works = []
    for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION):
        try:
            with sdpa_kernel(backend):
                F.scaled_dot_product_attention(q, q, q)
            works.append(backend.name.lower())
        except RuntimeError:  # torch says that no kernel is available
            continue
    attention = f"attention by {', '.join(works) or 'unfused kernels'}"
    engine, images = seeded(sitting.models[0]), frames()
    turns = 10
    some = list(islice(cycle(images), turns))
    seen = trace(lambda: proofs.through(engine, some), sitting.folder / "environment.json")
    if seen is None:
        return f"{attention}; this torch cannot name kernels (built without Kineto)"
    fused = ", ".join(sorted(seen.named("flash", "fmha", "attention"))) or "none by that name"
    longest = ", ".join(f"{name} {100 * share:.0f} %" for name, share in seen.longest(4))
    count = len(seen.kernels) / turns
    return f"{attention}; {count:.0f} kernels a frame; attention: {fused}; longest: {longest}"


def precision(sitting: Sitting) -> str:
    images, threshold = frames(), 0.4
    model = proofs.model_named(DEMO_ID)
    expected = proofs.through(proofs.engine_of(model, torch.float32, "cpu", threshold), images)
    for name, dtype in PRECISIONS.items():
        engine = demo(dtype, threshold)
        with proofs.eagerly(engine):
            found = proofs.through(engine, images)
        for ours, theirs in zip(found, expected, strict=True):
            if difference := proofs.unlike_by_detections(ours, theirs):
                raise Failed(f"{name}: {difference}")
    objects = sum((one.score > 0.5).sum() for one in expected)
    return f"the same {objects} objects in {', '.join(PRECISIONS)} as the CPU's in fp32"


def replay(sitting: Sitting) -> str:
    images = frames()
    for name, dtype in PRECISIONS.items():
        for engine in (demo(dtype), proofs.engine_of(proofs.model_named(sitting.models[0]), dtype)):
            if difference := proofs.replay_unlike_eager(engine, [*images, *images]):
                raise Failed(f"{name}: {difference}")
    return "bit for bit, six frames through both slots, two in flight, in every precision"


def swap(sitting: Sitting) -> str:
    return must(proofs.swapped_weights_unlike_eager(demo(), frames()), "there and back")


def waits(sitting: Sitting) -> str:
    engine, images = demo(), frames()
    with proofs.no_host_syncs():
        for _ in range(67):
            proofs.through(engine, images)
    pageable = proofs.unpinned(engine)
    return must(", ".join(pageable) and f"not pinned: {pageable}", "201 frames, one event each")


def allocations(sitting: Sitting) -> str:
    engine, images = seeded(sitting.models[0]), frames()
    proofs.through(engine, images)
    moved = proofs.moved_counters(engine, images, 1000)
    return must(moved, f"no counter moved in 1000 frames; {_mib(engine)}")


def _mib(engine: Engine) -> str:
    reserved = torch.cuda.memory_reserved(engine.device) / 2**20
    return f"{reserved:.0f} MiB reserved on the device"


def beside_others(sitting: Sitting) -> str:
    for _ in range(3):
        model = proofs.model_named(DEMO_ID)
        if difference := proofs.capture_beside_others(model, torch.float16, frames()):
            raise Failed(difference)
    return "three captures while a thread pinned memory, copied and used OpenCV"


def sizes(sitting: Sitting) -> str:
    engine, images = demo(), frames()
    before = proofs.through(engine, images)
    for size in ((640, 360), (2560, 1440), (480, 640)):
        other = scene(size, seed=7)[:3]
        if difference := proofs.replay_unlike_eager(engine, [*other, *images]):
            raise Failed(f"{size[0]}x{size[1]}: {difference}")
    for found, expected in zip(proofs.through(engine, images), before, strict=True):
        must(proofs.unlike(found, expected), "")
    return "640x360, 2560x1440 (buffers grow) and 480x640 between 1920x1080"


def out_of_memory(sitting: Sitting) -> str:
    run = proofs.run_short_of_memory(sitting.folder)
    lines = run.stderr.strip().splitlines() or ["nothing on stderr"]
    if run.returncode != 71 or run.stderr.count("out of device memory") != 1:
        raise Failed(f"exit code {run.returncode}, not 71: {lines[-1]}")
    return f"exit code 71, said once: {lines[-1]}"


def sanitizer(sitting: Sitting) -> str:
    found = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if not os.access(found, os.X_OK):
        raise Skip("compute-sanitizer is not installed")
    said = _three_frames(sitting, "graphs", [found, "--error-exitcode", "9"], {})
    summary = [line for line in said.splitlines() if "ERROR SUMMARY" in line]
    return f"three frames: {summary[-1].strip('= ') if summary else 'no error'}"


def streams(sitting: Sitting) -> str:
    _three_frames(sitting, "eager", [], {"TORCH_CUDA_SANITIZER": "1"})
    return "three frames eagerly under torch's stream sanitizer: no race"


def _three_frames(
    sitting: Sitting, how: str, command: Sequence[str], environment: dict[str, str]
) -> str:
    script = [sys.executable, "-c", THREE_FRAMES, str(Path(__file__).parent), DEMO_ID, how]
    try:
        run = subprocess.run(
            [*command, *script],
            capture_output=True,
            text=True,
            timeout=max(sitting.left_s(0.5), 60),
            env={**os.environ, **environment},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Skip("it takes more than half of the time that is left") from None
    if run.returncode or "done" not in run.stdout:
        lines = (run.stdout + run.stderr).strip().splitlines() or ["nothing was said"]
        told = next((line for line in lines if "CSAN" in line or "Invalid" in line), lines[-1])
        raise Failed(f"ended with {run.returncode}: {told}")
    return run.stdout + run.stderr
