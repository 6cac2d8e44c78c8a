"""Writes tests/rfdetr/golden/: outputs of the official package on seeded weights and pictures.

    python parity/make_golden.py [--pictures 24] [CASE ...]      (in the environment of run.sh)

For each case the picture is taken, of those tried, whose query ranking is clearest: then the slots
of two implementations can be compared one by one.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import official
import torch
from official_layout import GOLDEN_CASES, OFFICIAL, network_input, official_tensors, picture

FOLDER = Path(__file__).parents[1] / "tests" / "rfdetr" / "golden"
MASK_POSITIONS = 64  # of each query's mask, the corners among them
DETECTIONS = 20


def make(case: str, model_id: str, resolution: int, pictures: range) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pth"
        torch.save({"model": official_tensors(model_id)}, path)
        model = official.load(model_id, path, resolution)

    def gap_of(seed: int) -> float:
        return official.selection_gap(model, network_input(picture(seed), resolution))

    gap, seed = max((gap_of(seed), seed) for seed in pictures)
    outputs = official.forward(model, network_input(picture(seed), resolution))
    logits, boxes, masks = (
        outputs[f"pred_{name}"][0].numpy() for name in ("logits", "boxes", "masks")
    )
    side = masks.shape[-1]
    flat = np.random.default_rng(0).choice(side * side, MASK_POSITIONS, replace=False)
    flat[:4] = 0, side - 1, side * (side - 1), side * side - 1
    np.savez_compressed(
        FOLDER / f"{case}.npz",
        picture_seed=seed,
        selection_gap=gap,
        logits=logits,
        boxes=boxes,
        mask_positions=flat,
        mask_logits=masks.reshape(len(masks), -1)[:, flat],
    )
    ranked = np.sort(logits, axis=None)[::-1]
    cut = (ranked[DETECTIONS - 1] + ranked[DETECTIONS]) / 2
    print(
        f"{case}: picture {seed}, least gap {gap:.1e}; {DETECTIONS} detections with class_bias"
        f" {OFFICIAL[model_id].class_bias - cut:.3f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", default=list(GOLDEN_CASES))
    parser.add_argument("--pictures", type=int, default=24, help="how many to choose from")
    arguments = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    for case in arguments.cases:
        make(case, *GOLDEN_CASES[case], range(arguments.pictures))


if __name__ == "__main__":
    main()
