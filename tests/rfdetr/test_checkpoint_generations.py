"""Checkpoints of every generation of the official trainer, and files that are none."""

import os
import pickle
import tempfile
import zipfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from official_checkpoints import (
    GENERATIONS,
    bare,
    best_model,
    converted,
    legacy,
    lightning,
    lora,
    model_config,
    namespace_args,
    stripped,
)
from official_layout import OFFICIAL, official_tensors, outline
from torch import Tensor

from edge.rfdetr.checkpoint import Checkpoint, CheckpointError, load_checkpoint

NANO = "rfdetr-seg-nano"
NAMES = ["bolt", "nut", "washer"]
POSITIONS = "backbone.0.encoder.encoder.embeddings.position_embeddings"


@pytest.fixture
def path() -> Iterator[Path]:
    """A file to write, on a folder that does not outlive the test: checkpoints are large."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "checkpoint.pth"


@pytest.fixture(scope="module")
def whole_tensors() -> dict[str, Tensor]:
    return official_tensors(NANO)


@pytest.fixture(scope="module")
def tensors(whole_tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Small on the disk, for all that does not depend on the numbers."""
    return outline(whole_tensors)


@pytest.fixture(scope="module")
def plain(tensors: dict[str, Tensor]) -> Checkpoint:
    with tempfile.TemporaryDirectory() as folder:
        return saved(Path(folder) / "plain.pth", bare(NANO, tensors))


@pytest.fixture(scope="module")
def whole(whole_tensors: dict[str, Tensor]) -> Checkpoint:
    """What every generation must load as."""
    with tempfile.TemporaryDirectory() as folder:
        return saved(Path(folder) / "whole.pth", bare(NANO, whole_tensors))


def saved(path: Path, content: Any, model_type: str | None = NANO, **options: Any) -> Checkpoint:
    torch.save(content, path)
    return load_checkpoint(path, model_type, **options)


def refusal(path: Path, model_type: str | None = NANO, **options: Any) -> str:
    """What is said of the file after its name: one sentence."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path, model_type, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def refused(path: Path, content: Any, model_type: str | None = NANO, **options: Any) -> str:
    torch.save(content, path)
    return refusal(path, model_type, **options)


def assert_same_weights(one: Checkpoint, other: Checkpoint) -> None:
    assert one.state_dict.keys() == other.state_dict.keys()
    for name, tensor in one.state_dict.items():
        assert torch.equal(tensor, other.state_dict[name]), name


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


# What the file says of its shapes


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


# Files that are no checkpoint, or an attack


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
