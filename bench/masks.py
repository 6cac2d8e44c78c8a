"""Masks, summaries and messages of 20 objects: ours and the official masks, medians of one run.

    python bench/masks.py [--threads 2] [--turns 30] [--grid 108]

The objects are blobs of 1 to 5 % of the frame with rough edges. The two sides take turns, so that
whatever else the machine does meets both. The last columns count, over 200 objects of random
fields up to |logit| 40 (the worst outlines there are), those that had to ask the official
operation: for single pixels, and for their whole plane.
"""

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from edge import masks
from edge.clock import Timestamp
from edge.detections import Detections
from edge.events.message import FrameMessageBuilder
from edge.events.summary import summarise
from edge.frame import Frame
from edge.masks import full_masks, resize_masks

OBJECTS = 20
SIZES = [(360, 640), (1080, 1920), (2160, 3840)]


def blobs(grid: int, random: np.random.Generator) -> masks.Floats:
    """Logits [OBJECTS, grid, grid]: wobbly ellipses of 1 to 5 % of the grid, up to |20|."""
    y, x = np.mgrid[:grid, :grid] + 0.5
    planes = []
    for _ in range(OBJECTS):
        area, aspect = random.uniform(0.01, 0.05) * grid**2, random.uniform(0.5, 2)
        rx, ry = np.sqrt(area / np.pi * aspect), np.sqrt(area / np.pi / aspect)
        cx, cy = random.uniform(rx, grid - rx), random.uniform(ry, grid - ry)
        wobble = 1 + 0.15 * np.sin(3 * np.arctan2(y - cy, x - cx) + random.uniform(0, 6))
        height = 15 * (wobble - np.hypot((x - cx) / rx, (y - cy) / ry))
        planes.append(np.clip(height, -20, 20) + random.normal(0, 0.3, (grid, grid)))
    return np.array(planes, dtype=np.float32)


def random_fields(count: int, grid: int, random: np.random.Generator) -> masks.Floats:
    coarse = torch.from_numpy(random.normal(size=(count, 1, 13, 13)))
    fields = F.interpolate(coarse, size=(grid, grid), mode="bicubic")[:, 0].numpy()
    return (40 * fields / np.abs(fields).max(axis=(1, 2), keepdims=True)).astype(np.float32)


def official(logits: masks.Floats, size: tuple[int, int]) -> torch.Tensor:
    planes = torch.from_numpy(logits)[:, None]
    return F.interpolate(planes, size=size, mode="bilinear", align_corners=False)[:, 0] > 0


def medians_ms(jobs: dict[str, Callable[[], object]], turns: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(turns + 3):  # the first three warm up
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            if turn >= 3:
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def asked(logits: masks.Floats, size: tuple[int, int]) -> Counter[str]:
    """How many of the objects had near ties decided by pixel, and by plane."""
    calls: Counter[str] = Counter()
    saved = masks._Resize.pixels, masks._Resize.plane

    def pixels(*args: object) -> masks.Floats:
        calls["pixels"] += bool(len(args[2]))
        return saved[0](*args)

    def plane(*args: object) -> masks.Floats:
        calls["plane"] += 1
        return saved[1](*args)

    masks._separable(torch.device("cpu"))
    masks._Resize.pixels, masks._Resize.plane = pixels, plane
    for one in logits:
        resize_masks(one[None], size)
    masks._Resize.pixels, masks._Resize.plane = saved
    return calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--grid", type=int, default=108)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    random = np.random.default_rng(0)
    logits = blobs(options.grid, random)
    fields = random_fields(200, options.grid, random)
    names = [f"class {row}" for row in range(8)]

    print(f"torch {torch.__version__}, {options.threads} threads; ms, medians of {options.turns}")
    print("frame        official  full_masks  resize_masks  summarise   pixel   plane")
    for size in SIZES:
        found = Detections(
            np.linspace(0.9, 0.5, OBJECTS, dtype=np.float32),
            np.arange(OBJECTS) % len(names),
            np.tile(np.float32([612.03, 210.5, 861.2, 810.9]), (OBJECTS, 1)),
            logits,
            size,
        )
        jobs: dict[str, Callable[[], object]] = {
            "official": lambda size=size: official(logits, size),
            "full_masks": lambda size=size: full_masks(logits, size),
            "resize_masks": lambda size=size: resize_masks(logits, size),
            "summarise": lambda found=found: summarise(found, names),
        }
        ms, calls = medians_ms(jobs, options.turns), asked(fields, size)
        row = f"{ms['official']:8.1f}  {ms['full_masks']:10.1f}  {ms['resize_masks']:12.1f}"
        row += f"  {ms['summarise']:9.1f}  {calls['pixels']:6}  {calls['plane']:6}"
        print(f"{size[1]:4} x {size[0]:4}  {row}", flush=True)

    objects = summarise(found, names)
    frame = Frame("dock", 0, Timestamp(time.time(), 1e5, True), np.zeros((*size, 3), np.uint8))
    print("message      8 KiB     no limit")
    for count in (20, 100):
        many = (objects * 5)[:count]
        jobs = {}
        for budget in (8192, 10**6):
            builder = FrameMessageBuilder("dock-7", "8f3c2a10", "rfdetr-seg-preview", budget)
            jobs[str(budget)] = lambda b=builder, o=many: b.build(frame, o, 1e5, 19.0, 1e5)
        ms = medians_ms(jobs, 10 * options.turns)
        sizes = [len(job()) for job in jobs.values()]
        print(f"{count:3} objects {ms['8192']:8.2f}  {ms['1000000']:8.2f}   bytes {sizes}")


if __name__ == "__main__":
    main()
