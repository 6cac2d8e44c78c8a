"""The stage table: what one frame costs, stage by stage, and how near that is to the limit."""

import time
from dataclasses import dataclass
from statistics import median
from time import sleep

import cv2
import numpy as np

from edge.bench.flops import useful_gflop
from edge.bench.limits import MatrixProduct, copy_gbps
from edge.bench.scene import Footage
from edge.bench.subject import FrameTimes, Subject
from edge.bench.timing import Spread, rounds, spread
from edge.capture.address import FileAddress
from edge.capture.file import FileSource

WARM_UP = 3


@dataclass(frozen=True, slots=True)
class Stages:
    """``stages`` by name, ``grab`` first; ``frames_per_s`` of one frame after the other, the grab
    left out, which another thread does meanwhile.
    """

    stages: dict[str, Spread]
    whole: Spread
    frames_per_s: float


@dataclass(frozen=True, slots=True)
class Limit:
    """The machine in the same rounds: GFLOP/s of a matrix product of ``side``, by round, bytes
    copied a second, and the forward beside them. ``reached`` 1.0 would be a forward at the speed
    of the matrix product.
    """

    side: int
    gflops: list[float]
    copy_gbps: dict[str, float]
    useful_gflop: float
    forward_gflops: float
    reached: float


@dataclass(frozen=True, slots=True)
class FrameSize:
    """The same frame at full size and at the network's own, in turns; ``ratio`` of the medians."""

    full: Spread
    own: Spread
    own_size: tuple[int, int]
    ratio: float


def measure_stages(subject: Subject, footage: Footage, turns: int) -> tuple[Stages, Limit]:
    """Rounds of: the matrix product, grabs from the video file, whole frames."""
    engine, checkpoint = subject.engine, subject.checkpoint
    product = MatrixProduct(engine.device, engine.precision)
    useful = useful_gflop(checkpoint.variant, checkpoint.resolution, checkpoint.rows)
    grabs: list[float] = []
    times: list[FrameTimes] = []
    gflops: list[float] = []
    reached: list[float] = []
    source = FileSource(FileAddress(footage.clip, loop=True, pace=False), sleep)
    source.open()
    try:
        _grab(source, WARM_UP)
        for _ in range(WARM_UP):
            subject.run(footage.frames[0])
        for length in rounds(turns):
            gflops.append(product.gflops())
            grabs += _grab(source, length)
            frames = [footage.frames[i % len(footage.frames)] for i in range(length)]
            now = [subject.run(frame) for frame in frames]
            reached.append(useful / median(t.forward for t in now) / gflops[-1])
            times += now
    finally:
        source.close()
    columns = dict(zip(FrameTimes._fields, zip(*times, strict=True), strict=True))
    whole = spread(columns.pop("whole"))
    stages = {"grab": spread(grabs), **{name: spread(column) for name, column in columns.items()}}
    forward_s = stages["forward"].p50_ms / 1000
    return (
        Stages(stages, whole, 1000 / whole.p50_ms),
        Limit(
            product.side,
            gflops,
            copy_gbps(engine.device),
            useful,
            useful / forward_s,
            median(reached),
        ),
    )


def measure_frame_size(subject: Subject, footage: Footage, turns: int) -> FrameSize:
    own = subject.engine.resolution
    small = [cv2.resize(f, (own, own), interpolation=cv2.INTER_AREA) for f in footage.frames]
    sides = [footage.frames, [np.asarray(frame, np.uint8) for frame in small]]
    seconds: list[list[float]] = [[], []]
    for length in rounds(turns):
        for frames, times in zip(sides, seconds, strict=True):
            times += [subject.run(frames[i % len(frames)]).whole for i in range(length)]
    full, own_size = spread(seconds[0]), spread(seconds[1])
    return FrameSize(full, own_size, (own, own), full.p50_ms / own_size.p50_ms)


def _grab(source: FileSource, count: int) -> list[float]:
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        source.grab()
        source.retrieve()
        seconds.append(time.perf_counter() - start)
    return seconds
