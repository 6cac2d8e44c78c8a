"""The library, as a user of the official runtime would use it."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from edge import AutoModel
from edge.model_source import DEMO_CHECKPOINT
from edge.rfdetr.checkpoint import CheckpointError

GOLDEN = Path(__file__).parent / "data" / "demo_golden.npz"


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
    with np.load(GOLDEN) as golden:
        return golden["frame_bgr"]


@pytest.fixture(scope="module")
def model() -> AutoModel:
    return AutoModel.from_pretrained(str(DEMO_CHECKPOINT), device="cpu", confidence=0.45)


def test_to_supervision(model, frame):
    import supervision as sv

    detections = model(frame)[0].to_supervision()
    assert isinstance(detections, sv.Detections)
    assert len(detections) == 4
    assert detections.xyxy.shape == (4, 4)
    assert detections.mask.shape == (4, 360, 640)
    assert detections.mask.dtype == bool
    assert (detections.confidence > 0.45).all()
    assert list(detections.data["class_name"]) == [
        model.class_names[row] for row in detections.class_id
    ]
    assert len(detections[detections.confidence > 0.9]) == 3  # it filters like any other


def test_mask_annotator_paints_the_masks_and_nothing_else(model, frame):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what supervision brings along warns on import
        import supervision as sv
    detections = model(frame)[0].to_supervision()
    annotated = sv.MaskAnnotator().annotate(frame.copy(), detections)
    painted = (annotated != frame).any(-1)
    covered = detections.mask.any(0)
    assert not painted[~covered].any()
    assert painted[covered].mean() > 0.99


def test_masks_are_the_official_ones_bit_for_bit(model, frame):
    detections, _ = model.detect(frame)
    logits = torch.from_numpy(detections.mask_logits)[:, None]
    official = (F.interpolate(logits, (360, 640), mode="bilinear", align_corners=False) > 0)[:, 0]
    assert torch.equal(model(frame)[0].mask, official)


def test_a_list_gives_one_prediction_each(model, frame):
    small = np.ascontiguousarray(frame[::2, ::2])
    first, second = model([frame, small])
    assert first.mask.shape[1:] == (360, 640)
    assert second.mask.shape[1:] == (180, 320)
    torch.testing.assert_close(first.xyxy, model(frame)[0].xyxy)


def test_a_view_with_negative_strides_is_fine(model, frame):
    mirrored = frame[:, ::-1]
    expected = model(mirrored.copy())[0]
    torch.testing.assert_close(model(mirrored)[0].xyxy, expected.xyxy)


def test_confidence_of_one_call(model, frame):
    assert len(model(frame, confidence=0.99)[0]) == 0
    assert len(model(frame, confidence=0.01)[0]) > 4
    assert len(model(frame)[0]) == 4
    only_squares = {"default": 1.0, "square": 0.1}
    assert set(model(frame, confidence=only_squares)[0].class_names) <= {"square"}


def test_no_object_gives_empty_arrays(model):
    nothing = model(np.zeros((72, 128, 3), np.uint8), confidence=0.99)[0]
    assert nothing.mask.shape == (0, 72, 128)
    assert len(nothing.to_supervision()) == 0


@pytest.mark.parametrize(
    ("image", "error", "sentence"),
    [
        (None, TypeError, "not NoneType"),
        ("picture.jpg", TypeError, "numpy array"),
        (np.zeros((4, 4), np.uint8), ValueError, r"\[4, 4\]"),
        (np.zeros((4, 4, 3), np.float32), ValueError, "float32"),
        (np.zeros((4, 4, 4), np.uint8), ValueError, r"\[4, 4, 4\]"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, r"\[0, 4, 3\]"),
    ],
)
def test_what_is_no_picture_is_refused(model, image, error, sentence):
    with pytest.raises(error, match=sentence):
        model([image])


def test_a_picture_that_could_not_be_read_is_said(model):
    with pytest.raises(TypeError, match="cannot read a file"):
        model(None)


def test_the_demo_model_by_its_id():
    model = AutoModel.from_pretrained("rfdetr-seg-demo", device="cpu")
    assert model.class_names == ["circle", "square", "triangle", "star", "__background__"]


def test_labels_of_ones_own():
    own = ["Kreis", "Quadrat", "Dreieck", "Stern"]
    model = AutoModel.from_pretrained(DEMO_CHECKPOINT, labels=own, device="cpu")
    assert model.class_names == [*own, "__background__"]
    with pytest.raises(CheckpointError, match="give 5 or 4 labels"):
        AutoModel.from_pretrained(DEMO_CHECKPOINT, labels=own[:2], device="cpu")


def test_a_misspelt_id_is_told_apart_from_a_missing_file():
    with pytest.raises(CheckpointError, match="did you mean 'rfdetr-seg-nano'"):
        AutoModel.from_pretrained("rfdetr-seg-nanno")
    with pytest.raises(CheckpointError, match="neither a file nor a model id"):
        AutoModel.from_pretrained("missing/checkpoint_best.pth", "rfdetr-seg-nano")


def test_a_read_only_picture_is_fine(model, frame):
    locked = frame.copy()
    locked.flags.writeable = False
    torch.testing.assert_close(model(locked)[0].xyxy, model(frame)[0].xyxy)


def test_options_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="max_detections"):
        AutoModel.from_pretrained(DEMO_CHECKPOINT, max_detections=0)
    with pytest.raises(CheckpointError, match="labels is 'bolt'"):
        AutoModel.from_pretrained(DEMO_CHECKPOINT, labels="bolt")
    with pytest.raises(ValueError, match="precision"):
        AutoModel.from_pretrained(DEMO_CHECKPOINT, precision="int8")
    with pytest.raises(ValueError, match="resize"):
        AutoModel.from_pretrained(DEMO_CHECKPOINT, resize="bicubic")
    with pytest.raises(ValueError, match="model_type"):
        AutoModel.from_pretrained(DEMO_CHECKPOINT, model_type="yolo")
    with pytest.raises(ValueError, match="'sqare' is none of the model's labels"):
        AutoModel.from_pretrained(DEMO_CHECKPOINT, confidence={"sqare": 0.1}, device="cpu")
