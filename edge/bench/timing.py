"""Many turns in short rounds, and what to say of the times."""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

MOST_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Spread:
    """Times of many turns, in milliseconds."""

    p50_ms: float
    p95_ms: float
    mean_ms: float
    least_ms: float
    turns: int


def spread(seconds: Sequence[float]) -> Spread:
    p50, p95 = (float(value) for value in np.percentile(seconds, (50, 95)))
    return Spread(
        p50 * 1000,
        p95 * 1000,
        statistics.fmean(seconds) * 1000,
        min(seconds) * 1000,
        len(seconds),
    )


def rounds(turns: int) -> Iterator[int]:
    """The turns of each round, at least ``turns`` together; sides that are compared alternate."""
    number = min(turns, MOST_ROUNDS)
    for _ in range(number):
        yield math.ceil(turns / number)
