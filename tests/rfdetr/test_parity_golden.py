"""Our network against outputs of the official package (parity/make_golden.py), slot by slot."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from official_checkpoints import bare
from official_layout import GOLDEN_CASES, network_input, official_tensors, picture

import edge
from edge.inference.postprocess import select
from edge.inference.preprocess import Preprocess, frame_scale, frame_table
from edge.masks import full_masks
from edge.rfdetr.checkpoint import build_model, load_checkpoint
from edge.rfdetr.convert import resize_positions
from edge.rfdetr.model import Output, RFDETRSeg

GOLDEN = Path(__file__).parent / "golden"
DATA = Path(__file__).parents[1] / "data"
SHIPPED = Path(edge.__file__).parent / "data"
LOGIT_BAR, BOX_BAR = 1e-3, 1e-4


def farthest(ours: torch.Tensor, official: np.ndarray[Any, Any]) -> float:
    assert tuple(ours.shape) == official.shape
    return float(np.abs(ours.numpy() - official).max())


@torch.inference_mode()
def run(model: RFDETRSeg, x: torch.Tensor) -> tuple[Output, torch.Tensor]:
    """The raw outputs, and the mask logits of all queries."""
    output: Output = model(x)
    return output, model.masks(output.states, output.pixels)


def preprocessed(frame: np.ndarray[Any, Any], resolution: int, resize: str) -> torch.Tensor:
    size = frame.shape[0], frame.shape[1]
    pixels = torch.from_numpy(frame).view(-1, 3)
    x: torch.Tensor = Preprocess(resolution, resize)(pixels, frame_table(*size, resolution), size)
    return x


@pytest.mark.parametrize("case", GOLDEN_CASES)
def test_network_equals_the_official_one(case: str) -> None:
    model_id, resolution, ranking_seed = GOLDEN_CASES[case]
    golden = np.load(GOLDEN / f"{case}.npz")
    content = bare(model_id, official_tensors(model_id, ranking_seed=ranking_seed))
    content["args"] = {"resolution": resolution}
    with tempfile.TemporaryDirectory() as folder:
        torch.save(content, Path(folder) / "checkpoint.pth")
        model = build_model(load_checkpoint(Path(folder) / "checkpoint.pth", model_id))
    assert model.resolution == resolution
    output, all_masks = run(model, network_input(picture(), resolution))
    assert farthest(output.logits[0], golden["logits"]) < LOGIT_BAR
    assert farthest(output.boxes[0], golden["boxes"]) < BOX_BAR
    masks = all_masks[0].flatten(1)[:, torch.from_numpy(golden["mask_positions"])]
    assert farthest(masks, golden["mask_logits"]) < LOGIT_BAR


def test_golden_outputs_can_tell_networks_apart() -> None:
    """Twenty detections or so each, masks of both signs, and slots that rounding cannot swap."""
    for case in GOLDEN_CASES:
        golden = np.load(GOLDEN / f"{case}.npz")
        assert golden["ranking_gap"] > 9e-5, case
        assert 0.1 < (golden["mask_logits"] > 0).mean() < 0.9, case
        assert golden["logits"].std() > 1, case
        assert golden["boxes"].std(axis=0).min() > 0.005, case
        if case == GOLDEN_CASES[case][0]:
            assert (golden["logits"] > 0).sum() == 20, case


@pytest.fixture(scope="module")
def demo_golden() -> Mapping[str, np.ndarray[Any, Any]]:
    return dict(np.load(DATA / "demo_golden.npz"))


@pytest.mark.parametrize("folder", [SHIPPED, DATA], ids=["args in a dict", "in a namespace"])
def test_trained_checkpoint_gives_the_official_outputs(
    folder: Path, demo_golden: Mapping[str, np.ndarray[Any, Any]]
) -> None:
    checkpoint = load_checkpoint(folder / "rfdetr-seg-demo.pth")
    assert checkpoint.variant.name == "rfdetr-seg-demo"
    assert checkpoint.names == ("circle", "square", "triangle", "star", None)
    output, masks = run(build_model(checkpoint), torch.from_numpy(demo_golden["input"]))
    assert farthest(output.logits, demo_golden["pred_logits"]) < LOGIT_BAR
    assert farthest(output.boxes, demo_golden["pred_boxes"]) < BOX_BAR
    assert farthest(masks, demo_golden["pred_masks"]) < LOGIT_BAR


def test_antialiased_preprocessing_gives_the_official_input(
    demo_golden: Mapping[str, np.ndarray[Any, Any]],
) -> None:
    """The demo's golden input was made as rfdetr 1.4 and inference-models do: antialiased."""
    x = preprocessed(demo_golden["frame_bgr"], 216, "antialias")
    assert farthest(x, demo_golden["input"]) < 1e-4


@pytest.mark.parametrize("resolution", [216, 312, 768, 1200])
def test_plain_preprocessing_gives_the_official_input(resolution: int) -> None:
    rgb = picture()
    x = preprocessed(rgb[:, :, ::-1].copy(), resolution, "plain")
    assert farthest(x, network_input(rgb, resolution).numpy()) < 5e-4


def test_post_processing_gives_the_official_detections(
    demo_golden: Mapping[str, np.ndarray[Any, Any]],
) -> None:
    logits, boxes, masks = (
        torch.from_numpy(demo_golden[f"pred_{k}"][0]) for k in ("logits", "boxes", "masks")
    )
    height, width = demo_golden["frame_bgr"].shape[:2]
    scale = frame_scale(frame_table(height, width, 216))
    found = select(logits, boxes, scale, torch.zeros(logits.shape[1]), 30)
    assert farthest(found.score, demo_golden["scores"]) == 0
    assert found.row.tolist() == demo_golden["labels"].tolist()
    # rfdetr 1.4, which made the file, does not clamp boxes to the frame; 1.11 does, and so do we.
    clamped = demo_golden["boxes"].clip(0, np.array([width, height] * 2, np.float32))
    assert farthest(found.box, clamped) < 1e-3
    official = np.unpackbits(demo_golden["masks"], axis=-1, count=width).astype(bool)
    assert np.array_equal(full_masks(masks[found.query].numpy(), (height, width)), official)


def test_position_table_is_left_alone_at_its_own_size() -> None:
    table = torch.rand(1, 1 + 26 * 26, 384)
    assert torch.equal(resize_positions(table, 26), table[0])
