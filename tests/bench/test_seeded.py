"""The checkpoint that needs no download, and the network outputs that need no network."""

import sys
from pathlib import Path

import numpy as np
import torch

from edge.bench.objects import blobs, constructed_outputs
from edge.bench.seeded import seeded_tensors, write_seeded_checkpoint
from edge.rfdetr.checkpoint import load_checkpoint
from edge.rfdetr.labels import COCO_NAMES
from edge.rfdetr.variants import VARIANTS

sys.path.append(str(Path(__file__).parents[1] / "rfdetr"))
from official_layout import official_shapes

NANO = VARIANTS["rfdetr-seg-nano"]


def test_it_has_every_tensor_of_the_official_network():
    tensors = seeded_tensors(VARIANTS["rfdetr-seg-preview"], 0)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    assert shapes == official_shapes("rfdetr-seg-preview")


def test_it_depends_on_its_seed_alone():
    one, same, other = (seeded_tensors(NANO, seed) for seed in (1, 1, 2))
    name = "transformer.decoder.layers.2.linear1.weight"
    assert all(torch.equal(tensor, same[key]) for key, tensor in one.items())
    assert not torch.equal(one[name], other[name])


def test_exactly_20_scores_are_above_a_half(tmp_path):
    from edge.automodel import AutoModel

    path = tmp_path / "seeded.pth"
    image = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    write_seeded_checkpoint(path, NANO, 3, image, "plain")
    assert load_checkpoint(path, NANO.name).names == COCO_NAMES
    found = AutoModel.from_pretrained(path, NANO.name, device="cpu")(image)[0]
    assert len(found) == 20
    assert None not in [COCO_NAMES[row] for row in found.class_id]


def test_blobs_cover_one_to_five_percent():
    logits, boxes = blobs(50, 108, 0)
    covered = (logits > 0).mean(axis=(1, 2))
    assert covered.min() > 0.007
    assert covered.max() < 0.06
    assert (boxes[:, :2] - boxes[:, 2:] / 2 >= -1e-6).all()
    assert (boxes[:, :2] + boxes[:, 2:] / 2 <= 1 + 1e-6).all()


def test_constructed_outputs_hold_20_objects_of_named_rows():
    outputs = constructed_outputs(100, 78, COCO_NAMES, 0)
    _, query, row = np.nonzero(outputs.logits > 0)
    assert len(query) == len(set(query.tolist())) == 20
    assert None not in [COCO_NAMES[i] for i in row]
    assert ((outputs.masks[0] > 0).any(axis=(1, 2)).nonzero()[0] == query).all()
