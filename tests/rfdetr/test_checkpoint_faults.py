"""Checkpoints of other shapes than expected, and files that are no checkpoint, or an attack."""

import os
import pickle
import zipfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_files import NANO, POSITIONS, assert_same_weights, refusal, refused, saved
from official_checkpoints import bare, best_model, model_config, stripped
from official_layout import official_tensors, outline
from torch import Tensor

from edge.rfdetr.checkpoint import Checkpoint


def test_further_query_rows_are_ignored(path: Path) -> None:
    tensors = official_tensors("rfdetr-seg-large", query_rows=3900)
    checkpoint = saved(path, bare("rfdetr-seg-large", tensors), "rfdetr-seg-large")
    assert torch.equal(
        checkpoint.state_dict["selection.refpoint"], tensors["refpoint_embed.weight"][:200]
    )
    assert torch.equal(checkpoint.state_dict["decoder.query"], tensors["query_feat.weight"][:200])


def test_too_few_query_rows_are_refused(path: Path) -> None:
    tensors = outline(official_tensors(NANO, query_rows=99))
    assert "refpoint_embed.weight" in refused(path, bare(NANO, tensors))


def test_resolution_follows_the_table_of_positions(path: Path) -> None:
    whole = official_tensors(NANO, grid=32)
    tensors = {**outline(whole), POSITIONS: whole[POSITIONS]}
    checkpoint = saved(path, bare(NANO, tensors))
    assert checkpoint.resolution == 384
    assert torch.equal(
        checkpoint.state_dict["backbone.position"].flatten(0, 1), tensors[POSITIONS][0, 1:]
    )


def test_table_of_positions_is_resized_to_the_resolution_trained_at(
    path: Path, tensors: dict[str, Tensor]
) -> None:
    """rfdetr before 1.7 kept the variant's own table and resized it in every pass."""
    checkpoint = saved(path, stripped(NANO, tensors, resolution=384))
    assert checkpoint.resolution == 384
    assert checkpoint.state_dict["backbone.position"].flatten(0, 1).shape == (32 * 32, 384)


def test_resolution_between_the_patches_is_refused(path: Path, tensors: dict[str, Tensor]) -> None:
    message = refused(path, stripped(NANO, tensors, resolution=400))
    assert message == "has resolution 400, which is not a multiple of 12"


def test_table_of_positions_that_is_no_square_is_refused(
    path: Path, tensors: dict[str, Tensor]
) -> None:
    changed = {**tensors, POSITIONS: tensors[POSITIONS][:, :-1]}
    assert "675 entries, which is not a square" in refused(path, bare(NANO, changed))


@pytest.mark.parametrize(
    "name",
    [
        "class_embed.bias",
        POSITIONS,
        "transformer.enc_output.0.weight",
        "transformer.decoder.layers.3.norm3.bias",
        "segmentation_head.blocks.3.dwconv.weight",
        "backbone.0.projector.stages.0.0.m.2.cv2.bn.weight",
    ],
)
def test_missing_and_misshaped_tensors_are_named(
    name: str, path: Path, tensors: dict[str, Tensor]
) -> None:
    missing = {key: tensor for key, tensor in tensors.items() if key != name}
    assert name in refused(path, bare(NANO, missing))
    misshaped = {**tensors, name: torch.zeros(3, 5, 7)}
    message = refused(path, bare(NANO, misshaped))
    assert name in message
    assert "3x5x7" in message
    counted = {**tensors, name: tensors[name].int()}
    assert name in refused(path, bare(NANO, counted))


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(
    path: Path, tensors: dict[str, Tensor], number: float
) -> None:
    broken = tensors["class_embed.weight"].clone()
    broken[3, 5] = number
    reason = refused(path, bare(NANO, {**tensors, "class_embed.weight": broken}))
    assert "'class_embed.weight' holds numbers that are not finite" in reason


def test_extra_tensor_is_named(path: Path, tensors: dict[str, Tensor]) -> None:
    changed = {**tensors, "segmentation_head.blocks.4.dwconv.bias": torch.zeros(256)}
    message = refused(path, bare(NANO, changed))
    assert "'segmentation_head.blocks.4.dwconv.bias' does not belong to this network" in message


def test_unused_tensors_may_be_absent(
    path: Path, whole_tensors: dict[str, Tensor], whole: Checkpoint
) -> None:
    read = {name: whole_tensors[name] for name in outline(whole_tensors)}
    assert len(read) == len(whole_tensors) - 1 - 12 * 12
    assert_same_weights(saved(path, bare(NANO, read)), whole)


def test_detection_model_is_refused(path: Path, tensors: dict[str, Tensor]) -> None:
    boxes_only = {k: v for k, v in tensors.items() if not k.startswith("segmentation_head.")}
    assert "segmentation head" in refused(path, bare(NANO, boxes_only))


def test_other_network_is_refused(path: Path) -> None:
    resnet = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8)).state_dict()
    assert "is not an RF-DETR checkpoint" in refused(path, {"model": resnet})


class Attack:
    """Runs a command where it is unpickled carelessly."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda attack: attack,
        lambda attack: {"model": {}, "args": attack},
        lambda attack: {"model": {"class_embed.bias": attack}},
        lambda attack: {"model": {}, "args": Namespace(class_names=[attack])},
        lambda attack: {"state_dict": {}, "callbacks": {"BestModelCallback": attack}},
    ],
    ids=["whole file", "args", "tensor", "in a namespace", "callback"],
)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old format"])
def test_code_in_a_file_is_never_run(
    wrap: Callable[[Attack], Any], zipped: bool, path: Path
) -> None:
    trace = path.with_name("trace")
    torch.save(wrap(Attack(trace)), path, _use_new_zipfile_serialization=zipped)
    message = refusal(path)
    assert "mkdir" in message
    assert "could run code when loaded: refused" in message
    assert not trace.exists()
    torch.load(path, weights_only=False)  # the attack works, where it is let
    assert trace.exists()


def test_plain_pickle_is_never_run(path: Path) -> None:
    trace = path.with_name("trace")
    path.write_bytes(pickle.dumps({"model": Attack(trace)}))
    refusal(path)
    assert not trace.exists()


def test_truncated_file(path: Path, whole_tensors: dict[str, Tensor]) -> None:
    torch.save(bare(NANO, whole_tensors), path)
    size = path.stat().st_size
    for kept in (size - 1, size // 2, 1000, 1):
        os.truncate(path, kept)
        assert "is not a PyTorch checkpoint" in refusal(path)


def test_empty_file(path: Path) -> None:
    path.touch()
    assert refusal(path) == "is empty"


@pytest.mark.parametrize(
    "content",
    [b"<html>Please log in</html>", b"hello\n" * 1000, bytes(range(256)) * 100, b"\x80\x02."],
    ids=["page", "text", "bytes", "pickle without content"],
)
def test_file_of_another_kind(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    assert "is not a PyTorch checkpoint" in refusal(path)


def test_zip_of_another_kind(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "<w:document/>")
    assert "is not a PyTorch checkpoint" in refusal(path)


@pytest.mark.parametrize("content", [torch.zeros(3), [1, 2], {}, {"model": {}}, {"model": None}])
def test_file_without_weights(content: Any, path: Path) -> None:
    assert "checkpoint: it holds no" in refused(path, content)


def test_missing_file_and_folder(path: Path) -> None:
    assert refusal(path) == "cannot be read: No such file or directory"
    path.mkdir()
    assert refusal(path) == "is a folder, not a checkpoint file"


def test_settings_of_nonsense_types_are_not_believed(
    path: Path, tensors: dict[str, Tensor], plain: Checkpoint
) -> None:
    content = best_model(NANO, tensors)
    content["model_name"] = ["RFDETRSegNano"]
    content["rfdetr_version"] = None
    content["args"] = ["no", "mapping"]
    content["model_config"] = model_config(NANO, resolution="312", dec_layers=None)
    assert_same_weights(saved(path, content), plain)
