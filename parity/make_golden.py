"""Writes tests/rfdetr/golden/: outputs of the official package on seeded weights and a picture.

    parity/run.sh golden [--search N] [CASE ...]

With --search it writes nothing, but tries N seeds for the weights that rank the cells, and says
which keeps neighbours furthest apart: those numbers belong into tests/rfdetr/official_layout.py.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import official
import torch
from official_layout import (
    GOLDEN_CASES,
    OFFICIAL,
    RANKING,
    network_input,
    official_tensors,
    picture,
    seeded_tensor,
)
from torch import Tensor

FOLDER = Path(__file__).parents[1] / "tests" / "rfdetr" / "golden"
MASK_POSITIONS = 64  # of each query's mask, the corners among them
DETECTIONS = 20


def load(model_id: str, resolution: int, ranking_seed: int) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pth"
        torch.save({"model": official_tensors(model_id, ranking_seed=ranking_seed)}, path)
        return official.load(model_id, path, resolution)


def ranking_gap(cells: Tensor, queries: int, seed: int) -> float:
    """The least difference of neighbours among the best scores; ``cells`` [N, 256]."""
    weight = seeded_tensor(f"{RANKING}.weight", (91, 256), seed)
    bias = seeded_tensor(f"{RANKING}.bias", (91,), seed)
    ranked = torch.addmm(bias, cells, weight.T).amax(-1).sort(descending=True)[0][: queries + 1]
    return float((ranked[:-1] - ranked[1:]).min())


def search(case: str, seeds: int) -> None:
    model_id, resolution, _ = GOLDEN_CASES[case]
    queries = OFFICIAL[model_id].queries
    x = network_input(picture(), resolution)
    cells = official.ranked_cells(load(model_id, resolution, 0), x)
    gap, seed = max((ranking_gap(cells, queries, seed), seed) for seed in range(seeds))
    logits = official.forward(load(model_id, resolution, seed), x)["pred_logits"]
    ranked = logits.flatten().sort(descending=True)[0]
    bias = OFFICIAL[model_id].class_bias - float(ranked[DETECTIONS - 1] + ranked[DETECTIONS]) / 2
    print(f"{case}: ranking seed {seed}, least gap {gap:.1e}, class bias {bias:.3f}", flush=True)


def make(case: str) -> None:
    model_id, resolution, ranking_seed = GOLDEN_CASES[case]
    model = load(model_id, resolution, ranking_seed)
    x = network_input(picture(), resolution)
    outputs = official.forward(model, x)
    logits, boxes, masks = (
        outputs[f"pred_{name}"][0].numpy() for name in ("logits", "boxes", "masks")
    )
    side = masks.shape[-1]
    positions = np.random.default_rng(0).choice(side * side, MASK_POSITIONS, replace=False)
    positions[:4] = 0, side - 1, side * (side - 1), side * side - 1
    np.savez_compressed(
        FOLDER / f"{case}.npz",
        ranking_gap=ranking_gap(
            official.ranked_cells(model, x), OFFICIAL[model_id].queries, ranking_seed
        ),
        logits=logits,
        boxes=boxes,
        mask_positions=positions,
        mask_logits=masks.reshape(len(masks), -1)[:, positions],
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", default=list(GOLDEN_CASES))
    parser.add_argument("--search", type=int, metavar="N", help="try N ranking seeds a case")
    arguments = parser.parse_args()
    for case in arguments.cases:
        if arguments.search:
            search(case, arguments.search)
        else:
            make(case)


if __name__ == "__main__":
    main()
