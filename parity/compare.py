"""Our network, post-processing and names beside the official package's, on seeded weights.

    python parity/compare.py [--write docs/parity.md] [CASE ...]      (in the environment of run.sh)

Exits with 1 where a bar is not met.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import official
import rfdetr
import torch
from official_checkpoints import bare, best_model
from official_layout import GOLDEN_CASES, OFFICIAL, network_input, official_tensors, picture
from rfdetr.assets.model_weights import ModelWeights
from rfdetr.models.postprocess import PostProcess
from torch import Tensor

from edge.automodel import AutoModel
from edge.inference.postprocess import select
from edge.inference.preprocess import frame_scale, frame_table
from edge.masks import full_masks
from edge.rfdetr.checkpoint import build_model, load_checkpoint
from edge.rfdetr.model import Output
from edge.weights import HOSTED_WEIGHTS, OFFICIAL_URL

LOGIT_BAR, BOX_BAR = 1e-3, 1e-4
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"


class Row(NamedTuple):
    """What one case came to: a line of the table."""

    case: str
    resolution: int
    logits: float
    boxes: float
    masks: float
    mask_peak: float
    same_signs: float
    same_post: bool
    detections: int
    same_detections: bool
    scores: float
    pixels: float
    mask_pixels: float

    @property
    def passed(self) -> bool:
        network = max(self.logits, self.masks) < LOGIT_BAR and self.boxes < BOX_BAR
        return network and self.same_post and self.same_detections

    def __str__(self) -> str:
        return (
            f"| {self.case} | {self.resolution} | {self.logits:.1e} | {self.boxes:.1e}"
            f" | {self.masks:.1e} | {self.mask_peak:.0f} | {self.same_signs:.5%}"
            f" | {'equal' if self.same_post else 'DIFFERENT'}"
            f" | {self.detections}{'' if self.same_detections else ' DIFFERENT'}"
            f" | {self.scores:.1e} | {self.pixels:.1e} | {self.mask_pixels:.1e} |"
        )


HEADER = (
    "| case | input | logits | boxes | mask logits | largest | same sign | post-processing"
    " | detections | scores | boxes, px | mask pixels |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def farthest(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max()) if one.numel() else 0.0


@torch.inference_mode()
def compare(case: str) -> Row:
    model_id, resolution, ranking_seed = GOLDEN_CASES[case]
    rgb = picture()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pth"
        content = bare(model_id, official_tensors(model_id, ranking_seed=ranking_seed))
        torch.save({**content, "args": {"resolution": resolution}}, path)
        theirs = official.load(model_id, path, resolution)
        checkpoint = load_checkpoint(path, model_id)

    x = network_input(rgb, resolution)
    network = build_model(checkpoint)
    output: Output = network(x)
    our_masks = network.masks(output.states, output.pixels)
    expected = official.forward(theirs, x)
    masks = expected["pred_masks"]
    queries = OFFICIAL[model_id].queries

    model = AutoModel(checkpoint, "cpu", "fp32", max_detections=queries)
    found = model(np.ascontiguousarray(rgb[:, :, ::-1]))[0]
    wanted = theirs.predict(rgb, threshold=0.5, include_source_image=False)
    same = found.class_id.tolist() == wanted.class_id.tolist()
    same &= found.class_names == list(wanted.data["class_name"])
    return Row(
        case,
        resolution,
        farthest(output.logits, expected["pred_logits"]),
        farthest(output.boxes, expected["pred_boxes"]),
        farthest(our_masks, masks),
        float(masks.abs().max()),
        float(((our_masks > 0) == (masks > 0)).double().mean()),
        same_post_processing(expected, rgb.shape[:2], queries),
        len(wanted),
        same,
        farthest(found.confidence, torch.from_numpy(wanted.confidence)) if same else np.inf,
        farthest(found.xyxy, torch.from_numpy(wanted.xyxy)) if same else np.inf,
        float((found.mask.numpy() != wanted.mask).mean()) if same else np.inf,
    )


def same_post_processing(outputs: dict[str, Tensor], size: tuple[int, int], count: int) -> bool:
    """Scores, rows and full-resolution masks bit for bit, boxes to a thousandth of a pixel."""
    wanted = PostProcess(count)(outputs, torch.tensor([size]), score_threshold=0.5)[0]
    logits, boxes, masks = (outputs[f"pred_{name}"][0] for name in ("logits", "boxes", "masks"))
    scale = frame_scale(frame_table(*size, 24))
    found = select(logits, boxes, scale, torch.full(logits.shape[1:], 0.5), count)
    kept = found.kept
    return (
        torch.equal(found.score[kept], wanted["scores"])
        and torch.equal(found.row[kept], wanted["labels"])
        and farthest(found.box[kept], wanted["boxes"]) < 1e-3
        and np.array_equal(
            full_masks(masks[found.query[kept]].numpy(), size), wanted["masks"][:, 0].numpy()
        )
    )


def name_differences() -> Iterator[str]:
    """Class rows that the official package names otherwise than we do."""
    cases = {
        "a COCO checkpoint": (91, None),
        "90 names for 91 rows": (91, [f"class {i}" for i in range(90)]),
        "3 names for 4 rows": (4, ["bolt", "nut", "washer"]),
    }
    model_id = "rfdetr-seg-nano"
    for what, (rows, names) in cases.items():
        tensors = official_tensors(model_id, rows=rows)
        for part in ("weight", "bias"):  # equal scores rank by row: each comes up
            tensors[f"class_embed.{part}"].zero_()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "checkpoint.pth"
            torch.save(best_model(model_id, tensors, class_names=names), path)
            theirs = rfdetr.RFDETRSegNano.from_checkpoint(path, device="cpu")
            ours = AutoModel(load_checkpoint(path), "cpu").class_names
        found = theirs.predict(picture(120, 160), threshold=0, include_source_image=False)
        official_names = dict(zip(found.class_id.tolist(), found.data["class_name"], strict=True))
        for row, name in enumerate(ours):
            if official_names.get(row) != name:
                yield f"{what}: row {row} is {official_names.get(row)!r} there and {name!r} here"


def table_differences() -> Iterator[str]:
    """Hosted files that the official table has elsewhere, or with another checksum."""
    listed = {asset.filename: asset for asset in (member.value for member in ModelWeights)}
    for model_id, hosted in HOSTED_WEIGHTS.items():
        asset: Any = listed.get(hosted.file)
        if asset is None or (asset.url, asset.md5_hash) != (
            OFFICIAL_URL + hosted.object,
            hosted.md5,
        ):
            yield f"{model_id}: {asset}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", default=list(GOLDEN_CASES))
    parser.add_argument("--write", type=Path, help="replace the figures in this document")
    arguments = parser.parse_args()

    lines = [HEADER]
    print(HEADER, flush=True)
    passed = True
    for case in arguments.cases:
        row = compare(case)
        passed &= row.passed
        lines.append(str(row))
        print(row, flush=True)
    differences = [*name_differences(), *table_differences()]
    verdict = "\n".join(differences) or "Class names and the table of hosted files: equal."
    versions = f"rfdetr {version('rfdetr')}, torch {torch.__version__}, CPU."
    print(f"\n{verdict}\n{versions}")
    if arguments.write is not None:
        before, rest = arguments.write.read_text().split(BEGIN)
        after = rest.split(END)[1]
        figures = "\n".join([*lines, "", verdict, versions, ""])
        arguments.write.write_text(f"{before}{BEGIN}\n{figures}\n{END}{after}")
    sys.exit(not passed or bool(differences))


if __name__ == "__main__":
    main()
