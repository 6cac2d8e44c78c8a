"""A checkpoint in the official format from a seed, so that a benchmark needs no download.

Its speed is that of trained weights: no shape depends on what a network finds. What it finds is
made useful in one respect: on the benchmark's frame exactly 20 scores are above 0.5.
"""

import hashlib
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edge.frame import Image
from edge.inference.engine import Engine
from edge.rfdetr.checkpoint import Checkpoint, build_model, load_checkpoint
from edge.rfdetr.labels import COCO_NAMES, COCO_ROWS
from edge.rfdetr.layout import ENCODER, Shape, expected_shapes
from edge.rfdetr.variants import Variant

OBJECTS = 20
GROUPS = 13  # of queries, in training; inference reads the first
NEVER = -20.0  # below what an unnamed row's logit would need


def write_seeded_checkpoint(
    path: Path, variant: Variant, seed: int, image: Image, resize: str
) -> None:
    """Write the checkpoint of ``variant`` that finds 20 objects of named rows in ``image``.

    ``image`` uint8 BGR [H, W, 3]; ``resize`` as in the configuration. Runs the network once.
    """
    tensors = seeded_tensors(variant, seed)
    torch.save({"model": tensors}, path)
    shift = _shift(load_checkpoint(path, variant.name), image, resize)
    tensors["class_embed.bias"] -= shift
    torch.save({"model": tensors}, path)


def _shift(checkpoint: Checkpoint, image: Image, resize: str) -> float:
    """Halfway between the logits of the 20th and the 21st of the best (query, row) pairs."""
    everything = np.full(checkpoint.rows, -1, np.float32)
    engine = Engine(
        build_model(checkpoint),
        torch.device("cpu"),
        torch.float32,
        everything,
        resize,
        OBJECTS + 1,
    )
    last, next_one = engine.infer(image)[0].score[-2:].astype(float)
    return (math.log(last / (1 - last)) + math.log(next_one / (1 - next_one))) / 2


def seeded_tensors(variant: Variant, seed: int) -> dict[str, Tensor]:
    """Every tensor of the official network under its official name, each from a seed of its own.

    Those that only training reads are copies: the official loaders ask for them.
    """
    positions = (variant.resolution // variant.patch) ** 2 + 1
    shapes = expected_shapes(variant, COCO_ROWS, positions, GROUPS * variant.queries)
    tensors = {name: _seeded(name, shape, seed) for name, shape in shapes.items()}
    tensors["class_embed.bias"][[name is None for name in COCO_NAMES]] += NEVER
    for name in shapes:
        head, first, tail = name.partition(".0.")
        if head.startswith("transformer.enc_out") and first:
            for group in range(1, GROUPS):
                tensors[f"{head}.{group}.{tail}"] = tensors[name]
    tensors[f"{ENCODER}embeddings.mask_token"] = torch.zeros(1, variant.width)
    return tensors


def _seeded(name: str, shape: Shape, seed: int) -> Tensor:
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
    mean, deviation = _distribution(name, shape)
    return torch.randn(shape, generator=generator) * deviation + mean


def _distribution(name: str, shape: Shape) -> tuple[float, float]:
    """(mean, deviation), near those of a trained network, so that nothing overflows or dies out."""
    weight = name.endswith("weight")
    if name == "segmentation_head.bias":
        return -0.5, 0.0
    if "lambda1" in name:
        return 0.3, 0.05
    if name.endswith(("position_embeddings", "cls_token")):
        return 0.0, 0.2
    if "norm" in name or ".bn." in name or name.startswith("backbone.0.projector.stages.0.1."):
        return float(weight), 0.05
    if name == "refpoint_embed.weight":
        return 0.0, 0.3
    if name == "query_feat.weight" or name.endswith("sampling_offsets.bias"):
        return 0.0, 1.0
    if name == "class_embed.bias":
        return -4.0, 0.05
    if weight and ("class_embed" in name):
        return 0.0, 0.12
    if not weight or "bbox_embed.layers.2" in name or "bbox_embed.0.layers.2" in name:
        return 0.0, 0.05
    if name.endswith(("sampling_offsets.weight", "attention_weights.weight")):
        return 0.0, 0.05
    scale = 0.7 if ".encoder.layer." in name else 1.0
    return 0.0, scale / math.sqrt(math.prod(shape[1:]))
