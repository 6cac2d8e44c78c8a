"""Masks, summaries, geometry and messages of 20 objects, and the official masks of the same ones.

    python bench/masks.py [--threads 1] [--turns 30] [--grid 108]

The objects are blobs of 1 to 5 % of the frame with rough edges. The sides take turns, so that
whatever else the machine does meets all of them. Below, the same for the worst there is: 20 smooth
random fields up to |logit| 40, with outlines all over the frame, and 20 times noise, where every
other cell is on an outline. The last table counts, over 200 such fields and over the blobs, the
objects that had to ask the official operation: for single pixels, and for their whole plane.
"""

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from edge import bilinear, mask_runs
from edge.bench.objects import blobs
from edge.bilinear import Floats
from edge.clock import Timestamp
from edge.detections import Detections
from edge.events.geometry import grid_rle, polygons
from edge.events.message import FrameMessageBuilder
from edge.events.summary import summarise
from edge.frame import Frame
from edge.masks import full_masks, resize_masks

OBJECTS = 20
SIZES = [(360, 640), (720, 1280), (1080, 1920), (2160, 3840)]
NAMES = [f"class {row}" for row in range(8)]


def random_fields(count: int, grid: int, random: np.random.Generator) -> Floats:
    coarse = torch.from_numpy(random.normal(size=(count, 1, 13, 13)))
    fields = F.interpolate(coarse, size=(grid, grid), mode="bicubic")[:, 0].numpy()
    return (40 * fields / np.abs(fields).max(axis=(1, 2), keepdims=True)).astype(np.float32)


def official(logits: Floats, size: tuple[int, int]) -> torch.Tensor:
    planes = torch.from_numpy(logits)[:, None]
    return F.interpolate(planes, size=size, mode="bilinear", align_corners=False)[:, 0] > 0


Times = dict[str, tuple[float, float]]


def times_ms(jobs: dict[str, Callable[[], object]], turns: int) -> Times:
    """Median and minimum of each job."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(turns + 3):  # the first three warm up
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            if turn >= 3:
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: (statistics.median(all_), min(all_)) for name, all_ in times.items()}


def print_times(what: str, times: Times) -> None:
    columns = (f"{median:9.2f} ({least:7.2f})" for median, least in times.values())
    print(f"{what:11}", *columns, flush=True)


def detections(logits: Floats, size: tuple[int, int]) -> Detections:
    return Detections(
        np.linspace(0.9, 0.5, OBJECTS, dtype=np.float32),
        np.arange(OBJECTS) % len(NAMES),
        np.tile(np.float32([612.03, 210.5, 861.2, 810.9]), (OBJECTS, 1)),
        logits,
        size,
    )


def jobs_of(logits: Floats, size: tuple[int, int]) -> dict[str, Callable[[], object]]:
    found = detections(logits, size)
    return {
        "official": lambda: official(logits, size),
        "full_masks": lambda: full_masks(logits, size),
        "resize_masks": lambda: resize_masks(logits, size),
        "summarise": lambda: summarise(found, NAMES),
        "polygons": lambda: polygons(logits, size),
        "rle": lambda: [grid_rle(one) for one in logits],
    }


def asked(logits: Floats, size: tuple[int, int]) -> Counter[str]:
    """How many of the objects had near ties decided by pixel, and by plane."""
    calls: Counter[str] = Counter()
    saved = bilinear.Resize.pixels, mask_runs.official

    def pixels(*args: object) -> Floats:
        calls["pixels"] += bool(len(args[2]))
        return saved[0](*args)

    def plane(*args: object) -> Floats:
        calls["plane"] += 1
        return saved[1](*args)

    bilinear.separable(torch.device("cpu"))
    bilinear.Resize.pixels, mask_runs.official = pixels, plane
    for one in logits:
        resize_masks(one[None], size)
    bilinear.Resize.pixels, mask_runs.official = saved
    return calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="of torch; our side uses one")
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--grid", type=int, default=108)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    random = np.random.default_rng(0)
    logits, _ = blobs(OBJECTS, options.grid, seed=0)
    fields = random_fields(200, options.grid, random)
    noise = random.normal(size=logits.shape).astype(np.float32)

    print(f"torch {torch.__version__}, {options.threads} threads")
    print(f"{OBJECTS} objects; ms, median (least) of {options.turns} turns")
    print(" " * 11, *(f"{name:>19}" for name in jobs_of(logits, SIZES[0])))
    for size in SIZES:
        times = times_ms(jobs_of(logits, size), options.turns)
        print_times(f"{size[1]:4} x {size[0]:4}", times)
    for name, worst in {"fields": fields[:OBJECTS], "noise": noise}.items():
        jobs = jobs_of(worst, (1080, 1920))
        print_times(name, times_ms(jobs, max(3, options.turns // 10)))

    print("asked, objects      fields: pixels   plane   blobs: pixels   plane")
    for size in SIZES:
        of_fields, of_blobs = asked(fields, size), asked(logits, size)
        print(
            f"{size[1]:4} x {size[0]:4} {of_fields['pixels']:23} {of_fields['plane']:7}"
            f"{of_blobs['pixels']:16} {of_blobs['plane']:7}"
        )

    size = (1080, 1920)
    objects = summarise(detections(logits, size), NAMES).objects
    frame = Frame("dock", 0, Timestamp(time.time(), 1e5, True), np.zeros((*size, 3), np.uint8))
    print("message             8 KiB            no limit")
    for count in (20, 100):
        many = (objects * 5)[:count]
        jobs = {}
        for budget in (8192, 10**6):
            builder = FrameMessageBuilder("dock-7", "8f3c2a10", "rfdetr-seg-preview", budget)
            jobs[str(budget)] = lambda b=builder, o=many: b.build(frame, o, 1e5, 19.0, 1e5)
        times = times_ms(jobs, 10 * options.turns)
        print_times(f"{count} objects", times)
        print("           ", *(f"{len(job()):13} bytes" for job in jobs.values()))


if __name__ == "__main__":
    main()
