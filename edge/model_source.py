"""Where a model comes from: a hosted id, the demo model in this package, or a file."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from edge.folders import default_cache_dir
from edge.rfdetr.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from edge.rfdetr.variants import VARIANTS
from edge.spelling import did_you_mean
from edge.weights import fetch_weights

DEMO_ID = "rfdetr-seg-demo"
DEMO_CHECKPOINT = Path(__file__).parent / "data" / "rfdetr-seg-demo.pth"


def open_checkpoint(
    id_or_path: str | os.PathLike[str],
    model_type: str | None = None,
    labels: Sequence[str] | Literal["coco"] | None = None,
    cache_dir: Path | None = None,
) -> Checkpoint:
    """Read the checkpoint of a model id, or the file at a path.

    ``cache_dir`` is where hosted weights are kept (default: the user's cache). Raises
    ``CheckpointError``, ``WeightsError``, and ``ValueError`` for an unknown ``model_type``.
    """
    if model_type is not None and model_type not in VARIANTS:
        raise ValueError(f"model_type is {model_type!r}, not one of {', '.join(VARIANTS)}")
    name = os.fspath(id_or_path)
    if name == DEMO_ID:
        return load_checkpoint(DEMO_CHECKPOINT, DEMO_ID, labels)
    if name in VARIANTS:
        path = fetch_weights(name, cache_dir or default_cache_dir())
        return load_checkpoint(path, name, labels)
    path = Path(name)
    if not path.exists():
        hint = did_you_mean(name, VARIANTS)
        raise CheckpointError(f"{name}: is neither a file nor a model id{hint}")
    return load_checkpoint(path, model_type, labels)
