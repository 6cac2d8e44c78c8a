"""The same checkpoint and frame through other packages, side by side in their own processes.

Every side is a worker of its own, ours too, and they take turns in short rounds: what disturbs the
machine meets all of them. Ratios are medians of the rounds' ratios.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import torch

from edge.bench.objects import constructed_outputs
from edge.bench.opponents import OPPONENTS, OURS, Opponent
from edge.bench.options import BenchError
from edge.bench.subject import Subject
from edge.bench.timing import rounds
from edge.bench.worker import Ready, Turns, Worker, WorkerDied
from edge.frame import Image
from edge.model_source import DEMO_ID
from edge.openmp import as_found

OUR_NAME = "rfdetr-edge"
FIGURES = ("preprocess", "forward", "postprocess", "pre_and_post", "total", "whole_frame")


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians in ms. ``preprocess`` and ``forward`` are of the frame; ``postprocess`` and
    ``pre_and_post`` (all but the network) of 20 constructed objects; ``total`` is ``forward`` and
    ``pre_and_post``. ``whole_frame`` is measured as one, with what each network finds itself.
    """

    preprocess: float
    forward: float
    postprocess: float
    pre_and_post: float
    total: float
    whole_frame: float


@dataclass(frozen=True, slots=True)
class SideResult:
    """One side: its figures, ours divided by them, and what it found in the frame."""

    name: str
    precision: str
    versions: dict[str, str]
    figures: Figures
    ours_to_this: Figures
    found: int
    found_constructed: int
    load_s: float
    rss_mib: float


@dataclass(slots=True)
class Versus:
    """``failed`` says by side why there are no figures of it."""

    sides: list[SideResult] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    threads: int = 0


@dataclass(slots=True)
class _Running:
    """A side at work: its worker, what it said when it was ready, and its rounds so far."""

    worker: Worker
    precision: str
    ready: Ready
    frames: list[Turns] = field(default_factory=list)
    objects: list[Turns] = field(default_factory=list)


def check_comparable(subject: Subject) -> None:
    """Raises ``BenchError`` for a model that no other package knows."""
    if subject.checkpoint.variant.name == DEMO_ID:
        raise BenchError(f"--against: {DEMO_ID} is our own, the other packages cannot load it")


def measure_against(
    subject: Subject,
    image: Image,
    pythons: Mapping[str, Path],
    turns: int,
    say: Callable[[str], None],
    opponents: Mapping[str, Opponent] = OPPONENTS,
) -> Versus:
    """Ours and each opponent, eager and optimised, on ``image`` [H, W, 3] uint8 BGR.

    Raises ``BenchError`` where our own side fails.
    """
    result = Versus(threads=torch.get_num_threads())
    with ExitStack() as stack:
        sides: dict[str, _Running] = {}
        for side in _sides(subject, image, pythons, opponents, result.threads):
            name = side.name
            say(f"loading {name}")
            worker = stack.enter_context(Worker(name, side.command, side.settings, side.environ))
            try:
                sides[name] = _Running(worker, side.precision, worker.ready())
            except WorkerDied as death:
                result.failed[name] = str(death)
        _ours_must_live(result)
        for number, length in enumerate(rounds(turns), 1):
            say(f"comparing, round {number}")
            # There and back again: nobody always comes after the same neighbour.
            for name in list(sides)[:: 1 if number % 2 else -1]:
                if name in result.failed:
                    continue
                running = sides[name]
                try:
                    running.frames.append(running.worker.run("frames", length))
                    running.objects.append(running.worker.run("objects", length))
                except WorkerDied as death:
                    result.failed[name] = str(death)
    _ours_must_live(result)
    ours = [_figures(*both) for both in zip(*_rounds(sides[OUR_NAME]), strict=True)]
    result.sides = [
        _result(name, running, ours) for name, running in sides.items() if name not in result.failed
    ]
    return result


def _ours_must_live(result: Versus) -> None:
    if OUR_NAME in result.failed:
        raise BenchError(result.failed[OUR_NAME])


@dataclass(frozen=True, slots=True)
class _Side:
    """What to start, and with what."""

    name: str
    precision: str
    command: list[str]
    settings: dict[str, object]
    environ: dict[str, str]


def _sides(
    subject: Subject,
    image: Image,
    pythons: Mapping[str, Path],
    opponents: Mapping[str, Opponent],
    threads: int,
) -> Iterator[_Side]:
    """Ours first."""
    checkpoint, engine, folder = subject.checkpoint, subject.engine, subject.folder
    frame, outputs = folder / "frame.npy", folder / "outputs.npz"
    np.save(frame, image)
    grid = checkpoint.resolution // checkpoint.variant.mask_stride
    constructed = constructed_outputs(
        checkpoint.variant.queries, grid, checkpoint.names, subject.choice.seed
    )
    np.savez(outputs, **{f"pred_{name}": v for name, v in constructed._asdict().items()})
    precision = str(engine.precision).removeprefix("torch.")
    common = {"frame": str(frame), "outputs": str(outputs), "threads": threads}
    # Scripts begin with their own folder on the path, not with the one that has this package.
    package = Path(__file__).parents[2]
    path = os.pathsep.join([str(package), *filter(None, [os.environ.get("PYTHONPATH")])])
    yield _Side(
        OUR_NAME,
        precision,
        [sys.executable, str(OURS)],
        {**common, "choice": asdict(subject.choice), "folder": str(folder)},
        {**os.environ, "PYTHONPATH": path},
    )
    # What they offer beside float32 is for CUDA.
    optimised_dtype = precision if engine.device.type == "cuda" else "float32"
    for name, python in pythons.items():
        for kind, dtype in (("eager", "float32"), ("traced", optimised_dtype)):
            settings = {
                **common,
                "checkpoint": str(checkpoint.path),
                "model_type": checkpoint.variant.name,
                "official_name": checkpoint.variant.official_name,
                "resolution": checkpoint.resolution,
                "device": str(engine.device),
                "optimised": kind == "traced",
                "dtype": dtype,
            }
            yield _Side(
                f"{name} {kind}",
                dtype,
                # -E: what is meant for our interpreter is not for theirs.
                [str(python), "-E", "-W", "ignore", str(opponents[name].script)],
                settings,
                {**as_found(), "HF_HUB_OFFLINE": "1"},
            )


def _rounds(side: _Running) -> tuple[list[Turns], list[Turns]]:
    return side.frames, side.objects


def _figures(frames: Turns, objects: Turns) -> Figures:
    """Of one round, or of all rounds in a row; seconds in, ms out."""
    # With the network replaced there is nothing else in it, wherever a side draws the lines: our
    # CUDA graph resizes and selects, too.
    forward, pre_and_post = median(frames.forward), median(objects.whole)
    seconds = (
        median(frames.preprocess),
        forward,
        median(objects.postprocess),
        pre_and_post,
        forward + pre_and_post,
        median(frames.whole),
    )
    return Figures(*(1000 * value for value in seconds))


def _joined(rounds_: Sequence[Turns]) -> Turns:
    def column(name: str) -> list[float]:
        return [value for turns in rounds_ for value in getattr(turns, name)]

    return Turns(
        column("preprocess"),
        column("forward"),
        column("postprocess"),
        column("whole"),
        rounds_[-1].found,
        rounds_[-1].rss_mib,
    )


def _result(name: str, side: _Running, ours: Sequence[Figures]) -> SideResult:
    frames, objects = _joined(side.frames), _joined(side.objects)
    by_round = [_figures(*both) for both in zip(*_rounds(side), strict=True)]
    ratios = [
        median(getattr(o, figure) / getattr(t, figure) for o, t in zip(ours, by_round, strict=True))
        for figure in FIGURES
    ]
    return SideResult(
        name,
        side.precision,
        side.ready.versions,
        _figures(frames, objects),
        Figures(*ratios),
        frames.found,
        objects.found,
        side.ready.load_s,
        objects.rss_mib,
    )
