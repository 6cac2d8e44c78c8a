"""The engine against the official model's golden outputs, on the CPU."""

import numpy as np
import pytest
import torch

from edge.inference.engine import Engine, NotFiniteError
from edge.masks import full_masks
from edge.model_source import DEMO_CHECKPOINT
from edge.rfdetr.checkpoint import build_model, load_checkpoint

CPU = torch.device("cpu")


def engine(precision: torch.dtype = torch.float32, threshold: float = 0.0, **options) -> Engine:
    checkpoint = load_checkpoint(DEMO_CHECKPOINT)
    thresholds = np.full(checkpoint.rows, threshold, np.float32)
    return Engine(build_model(checkpoint), CPU, precision, thresholds, "antialias", **options)


def test_equals_the_official_post_processing(demo_golden):
    found, _ = engine().infer(demo_golden["frame_bgr"])
    assert found.class_id.tolist() == demo_golden["labels"].tolist()
    np.testing.assert_allclose(found.score, demo_golden["scores"], atol=1e-5)
    # The golden boxes are of a version that did not clamp them to the frame yet.
    clamped = demo_golden["boxes"].clip(0, [640, 360, 640, 360])
    np.testing.assert_allclose(found.box, clamped, atol=1e-2)
    expected = np.unpackbits(demo_golden["masks"], axis=-1).astype(bool).reshape(30, 360, 640)
    assert (full_masks(found.mask_logits, (360, 640)) != expected).mean() < 1e-6


def test_a_score_equal_to_the_threshold_is_dropped(demo_golden):
    found, _ = engine().infer(demo_golden["frame_bgr"])
    third = float(found.score[2])
    kept, _ = engine(threshold=third).infer(demo_golden["frame_bgr"])
    assert kept.score.tolist() == found.score[:2].tolist()


def test_thresholds_are_by_class_row(demo_golden):
    every, _ = engine().infer(demo_golden["frame_bgr"])
    rows = np.full(5, 2.0, np.float32)
    rows[1] = 0.0
    squares, _ = engine().infer(demo_golden["frame_bgr"], rows)
    assert set(squares.class_id.tolist()) == {1}
    assert len(squares) == (every.class_id == 1).sum() > 0


def test_max_detections_keeps_the_best(demo_golden):
    every, _ = engine().infer(demo_golden["frame_bgr"])
    best, _ = engine(max_detections=4).infer(demo_golden["frame_bgr"])
    assert best.score.tolist() == every.score[:4].tolist()


def test_results_outlive_the_next_frame(demo_golden):
    one = engine(threshold=0.5)
    first, _ = one.infer(demo_golden["frame_bgr"])
    copy = first.mask_logits.copy()
    one.infer(demo_golden["frame_bgr"][::-1].copy())
    np.testing.assert_array_equal(first.mask_logits, copy)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_reduced_precision_finds_the_same_objects(demo_golden, precision):
    full, _ = engine(threshold=0.5).infer(demo_golden["frame_bgr"])
    half, _ = engine(precision, threshold=0.5).infer(demo_golden["frame_bgr"])
    assert sorted(half.class_id.tolist()) == sorted(full.class_id.tolist())
    for row, box in zip(half.class_id, half.box, strict=True):
        near = np.abs(full.box[full.class_id == row] - box).max(1).min()
        assert near < 6, "a box moved by more than 1 % of the frame"


def test_selection_and_boxes_stay_float32_in_every_precision():
    one = engine(torch.bfloat16)
    parameters = dict(one.model.named_parameters())
    assert parameters["backbone.blocks.0.qkv.weight"].dtype == torch.bfloat16
    for part in ("selection.", "class_head.", "box_head."):
        dtypes = {p.dtype for name, p in parameters.items() if name.startswith(part)}
        assert dtypes == {torch.float32}
    exact = dict(engine().model.named_buffers())
    for name, buffer in one.model.named_buffers():
        assert torch.equal(buffer, exact[name]), f"{name} was rounded"


def test_stage_times_are_told(demo_golden):
    _, times = engine().infer(demo_golden["frame_bgr"])
    assert all(seconds > 0 for seconds in times)
    assert times.forward > times.postprocess


def test_weights_that_give_no_numbers_are_noticed_at_warm_up():
    checkpoint = load_checkpoint(DEMO_CHECKPOINT)
    model = build_model(checkpoint)
    model.class_head.bias.data[2] = float("nan")
    thresholds = np.full(checkpoint.rows, 0.5, np.float32)
    with pytest.raises(NotFiniteError, match="damaged"):
        Engine(model, CPU, torch.float32, thresholds).warm_up()


def test_warm_up_leaves_the_thresholds_as_they_were(demo_golden):
    one = engine(threshold=0.5)
    expected, _ = one.infer(demo_golden["frame_bgr"])
    one.warm_up()
    one.submit(demo_golden["frame_bgr"])
    found, _ = one.harvest()
    assert found.score.tolist() == expected.score.tolist()
