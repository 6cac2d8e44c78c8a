"""Network outputs made by hand: 20 objects whose masks are blobs, as a trained network finds them.

Random weights find masks of noise, which cost more or less than real ones, depending on who works
on them. These are the same for everybody, and like what a camera sees.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge.bench.seeded import OBJECTS

Floats = npt.NDArray[np.float32]
SMALLEST, LARGEST = 0.01, 0.05  # of the frame
SURELY_NOT = -8.0


class Outputs(NamedTuple):
    """A network's raw outputs for one picture: ``logits`` [1, Q, rows], ``boxes`` [1, Q, 4]
    cxcywh in 0..1, ``masks`` [1, Q, m, m] logits.
    """

    logits: Floats
    boxes: Floats
    masks: Floats


def blobs(count: int, grid: int, seed: int) -> tuple[Floats, Floats]:
    """Mask logits [count, grid, grid] and boxes [count, 4] of dented ellipses.

    Each covers 1 to 5 % of the grid, with a rim a few cells wide and a little noise.
    """
    random = np.random.default_rng(seed)
    rows, columns = (np.arange(grid)[:, None] + 0.5) / grid, (np.arange(grid) + 0.5) / grid
    logits = np.empty((count, grid, grid), np.float32)
    boxes = np.empty((count, 4), np.float32)
    for i in range(count):
        # Half axes of an ellipse of that area, between twice as wide and twice as high.
        area, stretch = random.uniform(SMALLEST, LARGEST), random.uniform(-0.35, 0.35)
        across, down = np.sqrt(area / np.pi) * np.exp((stretch, -stretch))
        x, y = random.uniform(across, 1 - across), random.uniform(down, 1 - down)
        angle = np.arctan2(rows - y, columns - x)
        rim = 1 + 0.12 * np.sin(4 * angle + random.uniform(0, 2 * np.pi))
        inside = rim - np.hypot((columns - x) / across, (rows - y) / down)
        logits[i] = np.clip(15 * inside, -20, 20) + random.normal(0, 0.2, (grid, grid))
        boxes[i] = x, y, 2 * across, 2 * down
    return logits, boxes


def constructed_outputs(queries: int, grid: int, names: Sequence[str | None], seed: int) -> Outputs:
    """Outputs in which 20 queries (or all, where there are fewer) hold an object of a named row."""
    count = min(OBJECTS, queries)
    random = np.random.default_rng(seed)
    logits = random.normal(SURELY_NOT, 0.5, (1, queries, len(names))).astype(np.float32)
    boxes = random.uniform(0.2, 0.8, (1, queries, 4)).astype(np.float32)
    masks = random.normal(SURELY_NOT, 0.5, (1, queries, grid, grid)).astype(np.float32)
    at = random.choice(queries, count, replace=False)
    named = [row for row, name in enumerate(names) if name is not None]
    logits[0, at, random.choice(named, count)] = np.linspace(3, 0.5, count)
    masks[0, at], boxes[0, at] = blobs(count, grid, seed)
    return Outputs(logits, boxes, masks)
