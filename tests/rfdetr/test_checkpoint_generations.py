"""Checkpoints of every generation of the official trainer, and what they say of their classes."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from checkpoint_files import NANO, assert_same_weights, refused, saved
from official_checkpoints import (
    GENERATIONS,
    bare,
    best_model,
    converted,
    legacy,
    lightning,
    lora,
    namespace_args,
    stripped,
)
from official_layout import OFFICIAL, official_tensors, outline
from torch import Tensor

from edge.rfdetr.checkpoint import Checkpoint, load_checkpoint

NAMES = ["bolt", "nut", "washer"]


@pytest.mark.parametrize("generation", GENERATIONS, ids=lambda generation: generation.__name__)
def test_every_generation_loads_to_the_same_network(
    generation: Callable[..., Any],
    path: Path,
    whole_tensors: dict[str, Tensor],
    whole: Checkpoint,
) -> None:
    checkpoint = saved(path, generation(NANO, whole_tensors))
    assert_same_weights(checkpoint, whole)
    assert checkpoint.variant.name == NANO
    assert checkpoint.resolution == 312
    assert checkpoint.rows == 91
    assert checkpoint.names[18] == "dog"


@pytest.mark.parametrize("generation", [best_model, legacy, stripped, converted])
def test_variant_is_read_from_the_file(
    generation: Callable[..., Any], path: Path, tensors: dict[str, Tensor]
) -> None:
    assert saved(path, generation(NANO, tensors), None).variant.name == NANO


def test_file_of_the_old_format_loads(
    path: Path, tensors: dict[str, Tensor], plain: Checkpoint
) -> None:
    torch.save(bare(NANO, tensors), path, _use_new_zipfile_serialization=False)
    assert_same_weights(load_checkpoint(path, NANO), plain)


def test_parameters_and_simple_namespaces_load(
    path: Path, tensors: dict[str, Tensor], plain: Checkpoint
) -> None:
    parameters = {name: torch.nn.Parameter(tensor) for name, tensor in tensors.items()}
    args = SimpleNamespace(**vars(namespace_args(NANO)))
    assert_same_weights(saved(path, {"model": parameters, "args": args}, None), plain)


def test_half_precision_is_widened(path: Path, whole_tensors: dict[str, Tensor]) -> None:
    half = {name: tensor.half() for name, tensor in whole_tensors.items()}
    widened = saved(path, bare(NANO, {name: tensor.float() for name, tensor in half.items()}))
    checkpoint = saved(path, bare(NANO, half))
    assert_same_weights(checkpoint, widened)
    assert {tensor.dtype for tensor in checkpoint.state_dict.values()} == {torch.float32}


def test_lora_weights_are_refused(path: Path, tensors: dict[str, Tensor]) -> None:
    assert "LoRA" in refused(path, lora(NANO, tensors))


def test_missing_type_is_asked_for(path: Path, tensors: dict[str, Tensor]) -> None:
    message = refused(path, lightning(NANO, tensors), None)
    assert "which variant" in message
    assert all(model_id in message for model_id in OFFICIAL)


def test_wrong_type_is_refused(path: Path, tensors: dict[str, Tensor]) -> None:
    assert refused(path, best_model(NANO, tensors), "rfdetr-seg-small") == (
        "is of type rfdetr-seg-nano, not rfdetr-seg-small"
    )
    message = refused(path, stripped(NANO, tensors), "rfdetr-seg-small")
    assert message == "has 1 windows per side, but rfdetr-seg-small has 2"
    message = refused(path, bare(NANO, tensors), "rfdetr-seg-medium")
    assert "does not fit rfdetr-seg-medium" in message


@pytest.mark.parametrize("model_id", OFFICIAL)
def test_every_variant_is_told_from_the_others(model_id: str, path: Path) -> None:
    tensors = outline(official_tensors(model_id))
    for content in (best_model(model_id, tensors), stripped(model_id, tensors)):
        checkpoint = saved(path, content, None)
        assert checkpoint.variant.name == model_id
        assert checkpoint.resolution == OFFICIAL[model_id].resolution


# What the file says of its classes


@pytest.fixture(scope="module")
def four_rows() -> dict[str, Tensor]:
    return outline(official_tensors(NANO, rows=4))


def test_labels_given_win(path: Path, four_rows: dict[str, Tensor]) -> None:
    content = best_model(NANO, four_rows, class_names=NAMES)
    assert saved(path, content, labels=list("abcd")).names == ("a", "b", "c", "d")
    assert saved(path, content, labels=list("abc")).names == ("a", "b", "c", None)


def test_labels_of_another_length_are_refused(path: Path, four_rows: dict[str, Tensor]) -> None:
    message = refused(path, bare(NANO, four_rows), labels=list("ab"))
    assert (
        message == "labels has 2 classes, but the checkpoint has 4 class rows: give 4 or 3 labels"
    )
    assert "needs 91 class rows" in refused(path, bare(NANO, four_rows), labels="coco")


def test_91_rows_without_names_are_coco_categories(plain: Checkpoint) -> None:
    unnamed = {0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
    assert {row for row, name in enumerate(plain.names) if name is None} == unnamed
    named = {1: "person", 13: "stop sign", 67: "dining table", 90: "toothbrush"}
    assert {row: plain.names[row] for row in named} == named
    assert len(plain.names) == 91


def test_other_rows_without_names_ask_for_labels(path: Path, four_rows: dict[str, Tensor]) -> None:
    assert "no class names: give them as labels" in refused(path, bare(NANO, four_rows))


def test_newer_trainer_numbers_from_row_0(path: Path, four_rows: dict[str, Tensor]) -> None:
    for version in ("1.9.4", "1.11.2", "2.0.0"):
        content = best_model(NANO, four_rows, version, class_names=NAMES)
        assert saved(path, content).names == ("bolt", "nut", "washer", None)


@pytest.mark.parametrize("version", ["1.6.5", "1.8.3", None])
def test_spare_row_of_trainers_in_between_is_asked_for(
    version: str | None, path: Path, four_rows: dict[str, Tensor]
) -> None:
    content = best_model(NANO, four_rows, class_names=NAMES)
    if version is None:
        del content["rfdetr_version"]
    else:
        content["rfdetr_version"] = version
    assert "does not say which row is the spare one: give 4 labels" in refused(path, content)
    chosen = ["", *NAMES]
    assert saved(path, content, labels=chosen).names == tuple(chosen)


def test_old_trainer_on_a_coco_export_numbers_from_row_1(
    path: Path, four_rows: dict[str, Tensor]
) -> None:
    content = stripped(NANO, four_rows, num_classes=4, class_names=NAMES)
    assert saved(path, content).names == (None, "bolt", "nut", "washer")
    content = stripped(NANO, four_rows, num_classes=4, class_names=dict(enumerate(NAMES, 1)))
    assert saved(path, content).names == (None, "bolt", "nut", "washer")
    assert saved(path, content, labels=list("abc")).names == (None, "a", "b", "c")


def test_old_trainer_on_a_yolo_data_set_names_every_row(
    path: Path, four_rows: dict[str, Tensor]
) -> None:
    content = stripped(NANO, four_rows, num_classes=4, class_names=[*NAMES, "screw"])
    assert saved(path, content).names == ("bolt", "nut", "washer", "screw")


def test_namespace_that_does_not_tell_is_asked_for(
    path: Path, four_rows: dict[str, Tensor]
) -> None:
    content = stripped(NANO, four_rows, num_classes=3, class_names=NAMES)
    assert "does not say which row is the spare one" in refused(path, content)


def test_two_names_for_four_rows_are_refused(path: Path, four_rows: dict[str, Tensor]) -> None:
    content = best_model(NANO, four_rows, class_names=NAMES[:2])
    assert "names 2 classes, but the checkpoint has 4 class rows" in refused(path, content)
