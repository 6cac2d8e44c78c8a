"""Whether several pictures at once are cheaper than one after the other."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from edge.bench.limits import timed
from edge.bench.subject import Subject
from edge.bench.timing import Spread, rounds, spread
from edge.inference.cuda_pipeline import fast_kernels
from edge.inference.engine import Engine

SIZES = (1, 2, 4)
WARM_UP = 3


@dataclass(frozen=True, slots=True)
class Batch:
    """The bare forward of ``size`` pictures, in ms a picture."""

    size: int
    per_picture: Spread


@torch.inference_mode()
def measure_batches(subject: Subject, turns: int) -> list[Batch]:
    """The bare network at each batch size in turns, about ``turns`` pictures each."""
    device = subject.engine.device
    forwards = {size: _forward(subject.engine, size) for size in SIZES}
    seconds: dict[int, list[float]] = {size: [] for size in SIZES}
    for length in rounds(turns):
        for size, forward in forwards.items():
            took = timed(forward, -(-length // size), device)
            seconds[size] += [s / size for s in took]
    return [Batch(size, spread(seconds[size])) for size in SIZES]


def _forward(engine: Engine, size: int) -> Callable[[], object]:
    """The warm network on ``size`` pictures; on CUDA as one graph, which no launch delays."""
    pictures = torch.zeros(size, 3, engine.resolution, engine.resolution, device=engine.device)

    def forward() -> object:
        with fast_kernels():
            return engine.model(pictures)

    if engine.device.type != "cuda":
        forward()
        return forward
    stream = torch.cuda.Stream(engine.device)
    stream.wait_stream(torch.cuda.current_stream(engine.device))
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            forward()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        forward()
    return graph.replay
