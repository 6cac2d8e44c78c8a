"""What the checks on a GPU are made with: frames, and engines that are warm."""

import cuda_proofs as proofs
import numpy as np
import torch
from gpu_sitting import Failed

from edge.bench.scene import scene
from edge.frame import Image
from edge.inference.engine import Engine
from edge.model_source import DEMO_ID

PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
FULL_HD = (1920, 1080)
OBJECTS = 20


def frames() -> list[Image]:
    return scene(FULL_HD, seed=7)[:9:4]


def demo(precision: torch.dtype = torch.float16, threshold: float = proofs.EVERYTHING) -> Engine:
    return proofs.engine_of(proofs.model_named(DEMO_ID), precision, threshold=threshold)


def seeded(name: str, precision: torch.dtype = torch.float16) -> Engine:
    """A published variant with noise for weights, and a threshold that keeps 20 objects of it."""
    engine = proofs.engine_of(proofs.model_named(name), precision)
    image = frames()[0]
    twenty = engine.infer(image)[0].score[OBJECTS]
    engine.infer(image, np.full(engine.model.rows, twenty, np.float32))  # also from now on
    return engine


def must(difference: str | None, otherwise: str) -> str:
    """The finding where nothing is wrong; else raises what is."""
    if difference:
        raise Failed(difference)
    return otherwise
