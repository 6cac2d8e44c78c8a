"""Training checkpoints of the official package, every generation: read as data, checked, converted.

Loading never runs code from the file (``weights_only=True``), and nothing is guessed: what a file
does not say for certain is asked for in one sentence.
"""

import argparse
import hashlib
import math
import pickle
import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from edge.rfdetr.convert import convert
from edge.rfdetr.labels import CheckpointLabels, LabelError, Names, name_rows
from edge.rfdetr.layout import ENCODER, expected_shapes, find_fault
from edge.rfdetr.model import RFDETRSeg
from edge.rfdetr.variants import VARIANTS, Variant

_WRAPPERS = ("model.", "module.", "_orig_mod.")  # Lightning, DistributedDataParallel, torch.compile


class CheckpointError(Exception):
    """The checkpoint cannot be used; the message is one sentence that names the file."""

    exit_code = 78


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that fits: ``state_dict`` is that of ``RFDETRSeg(variant, resolution, rows)``,
    float32 on the CPU; ``names`` has a name, or None, for each of the ``rows`` class rows.
    """

    path: Path
    sha256: str
    variant: Variant
    resolution: int
    names: Names
    state_dict: dict[str, Tensor]

    @property
    def rows(self) -> int:
        return len(self.names)


def load_checkpoint(
    path: Path,
    model_type: str | None = None,
    labels: Sequence[str] | Literal["coco"] | None = None,
) -> Checkpoint:
    """Read a training checkpoint as the official trainer wrote it.

    ``model_type`` is a key of ``VARIANTS``, needed where the file does not name its variant;
    ``labels`` as in the configuration. Raises ``CheckpointError``.
    """
    try:
        content = _read(path)
        tensors = _network_tensors(content)
        settings = _Settings(content)
        variant = _variant(settings, model_type)
        checked, resolution, rows = _check(tensors, settings, variant)
        names = name_rows(rows, settings.labels(), labels)
        sha256 = _sha256(path)
    except (_RefusedError, LabelError) as refusal:
        raise CheckpointError(f"{path}: {refusal}") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from None
    return Checkpoint(
        path, sha256, variant, resolution, names, convert(checked, variant, resolution)
    )


def build_model(checkpoint: Checkpoint) -> RFDETRSeg:
    """The network with the checkpoint's weights, float32 on the CPU, for inference."""
    with torch.device("meta"):  # no weights are made up only to be overwritten
        model = RFDETRSeg(checkpoint.variant, checkpoint.resolution, checkpoint.rows)
    model.load_state_dict(checkpoint.state_dict, assign=True)
    return model.requires_grad_(False).eval()


class _RefusedError(Exception):
    """Why the file is not used: the part of the sentence after its name."""


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _read(path: Path) -> Mapping[str, Any]:
    if path.is_dir():
        raise _RefusedError("is a folder, not a checkpoint file")
    with path.open("rb") as file:  # a missing or unreadable file is the caller's OSError
        if not file.read(1):
            raise _RefusedError("is empty")
    try:
        with torch.serialization.safe_globals([argparse.Namespace, types.SimpleNamespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch says "GLOBAL os.system was not an allowed global", "Unsupported global: GLOBAL x.y".
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        if found is None:
            raise _RefusedError("is not a PyTorch checkpoint") from None
        raise _RefusedError(
            f"holds a Python object ({found[1]}) that could run code when loaded: refused;"
            " keep only its 'model' weights and 'args'"
        ) from None
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # torch raises what it likes for a file of another kind
        if "can't allocate memory" in str(error):
            raise
        raise _RefusedError("is not a PyTorch checkpoint, or was cut short") from None
    if not isinstance(content, Mapping):
        raise _RefusedError("is not a training checkpoint: it holds no 'model' weights")
    return content


def _network_tensors(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The network's tensors under their official names, whatever they were wrapped in."""
    if isinstance(content.get("model"), Mapping):
        named = content["model"]
    elif isinstance(content.get("state_dict"), Mapping):
        # A Lightning module: the network is its member `model`, the rest belongs to the training.
        named = {k: v for k, v in content["state_dict"].items() if str(k).startswith("model.")}
    else:
        named = content
    tensors: dict[str, Tensor] = {}
    for key, value in named.items():
        name = str(key)
        while prefix := next((p for p in _WRAPPERS if name.startswith(p)), None):
            name = name[len(prefix) :]
        if isinstance(value, Tensor):
            tensors[name] = value
    if any(".base_model.model." in name for name in tensors):
        raise _RefusedError("holds unmerged LoRA weights: merge them into the model before saving")
    if not any(name.startswith(ENCODER) for name in tensors):
        raise _RefusedError("is not an RF-DETR checkpoint: it holds no weights of its encoder")
    if not any(name.startswith("segmentation_head.") for name in tensors):
        raise _RefusedError("is of a detection model: it has no segmentation head")
    return tensors


class _Settings:
    """What the trainer wrote about the network, in whichever of its places."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = content
        args = content.get("args")
        self.legacy = isinstance(args, (argparse.Namespace, types.SimpleNamespace))
        hyper = content.get("hyper_parameters")
        hyper = hyper if isinstance(hyper, Mapping) else {}
        places = [content.get("model_config"), vars(args) if self.legacy else args]
        places += [hyper.get("model_config"), hyper.get("args"), hyper]
        self._places = [
            vars(place) if isinstance(place, (argparse.Namespace, types.SimpleNamespace)) else place
            for place in places
            if place is not None
        ]

    def get(self, name: str) -> Any:
        for place in self._places:
            if isinstance(place, Mapping) and place.get(name) is not None:
                return place[name]
        return None

    def integer(self, name: str) -> int | None:
        value = self.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    @property
    def official_name(self) -> str | None:
        name = self._content.get("model_name")
        return name if isinstance(name, str) else None

    def labels(self) -> CheckpointLabels:
        names = self.get("class_names")
        if isinstance(names, Mapping):  # rfdetr 1.4 counts from 1
            in_order = sorted(names) if all(isinstance(key, int) for key in names) else names
            names = [names[key] for key in in_order]
        if not isinstance(names, Sequence) or isinstance(names, str) or not names:
            names = None
        version = re.match(r"(\d+)\.(\d+)", str(self._content.get("rfdetr_version", "")))
        return CheckpointLabels(
            names=None if names is None else tuple(str(name) for name in names),
            version=(int(version[1]), int(version[2])) if version else None,
            legacy=self.legacy,
            num_classes=self.integer("num_classes"),
        )


def _variant(settings: _Settings, model_type: str | None) -> Variant:
    """The variant that the file names, checked against the one asked for."""
    by_name = {v.official_name: v for v in VARIANTS.values()}
    named = by_name.get(settings.official_name or "")
    shape = [settings.integer(n) for n in ("dec_layers", "num_queries", "num_windows")]
    if model_type is not None:
        variant = VARIANTS[model_type]
        wanted = [variant.decoder_layers, variant.queries, variant.windows]
        if named is not None and named != variant:
            raise _RefusedError(f"is of type {named.name}, not {model_type}")
        for found, want, what in zip(
            shape, wanted, ("decoder layers", "queries", "windows per side"), strict=True
        ):
            if found not in (None, want):
                raise _RefusedError(f"has {found} {what}, but {model_type} has {want}")
        return variant
    if named is not None:
        return named
    resolution = settings.integer("resolution") or 0
    alike = [v for v in VARIANTS.values() if [v.decoder_layers, v.queries, v.windows] == shape]
    if not alike:
        raise _RefusedError(
            "does not say which variant it is: give the model's type, one of " + ", ".join(VARIANTS)
        )
    # Where two variants share a network (medium and large), only the resolution tells them apart.
    return min(alike, key=lambda v: abs(v.resolution - resolution))


def _check(
    tensors: dict[str, Tensor], settings: _Settings, variant: Variant
) -> tuple[dict[str, Tensor], int, int]:
    """The needed tensors, the input resolution and the number of class rows."""

    def length(name: str, axis: int) -> int:
        tensor = tensors.get(name)
        return tensor.shape[axis] if tensor is not None and tensor.dim() > axis else 0

    rows = max(length("class_embed.bias", 0), length("class_embed.weight", 0))
    query_rows = max(length("refpoint_embed.weight", 0), variant.queries)
    positions = max(length(f"{ENCODER}embeddings.position_embeddings", 1), 2)
    expected = expected_shapes(variant, rows, positions, query_rows)
    fault = find_fault(tensors, expected)
    if fault is not None:
        raise _RefusedError(f"does not fit {variant.name}: {fault}")
    broken = next((name for name in expected if not tensors[name].isfinite().all()), None)
    if broken is not None:
        raise _RefusedError(f"tensor '{broken}' holds numbers that are not finite")
    side = math.isqrt(positions - 1)
    if side * side != positions - 1:
        raise _RefusedError(
            f"has a position table of {positions - 1} entries, which is not a square"
        )
    resolution = settings.integer("resolution") or side * variant.patch
    if resolution <= 0 or resolution % variant.resolution_step:
        raise _RefusedError(
            f"has resolution {resolution}, which is not a multiple of {variant.resolution_step}"
        )
    return {name: tensors[name] for name in expected}, resolution, rows
