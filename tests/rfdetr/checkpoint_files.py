"""Writing a checkpoint and reading it back, or hearing why not."""

from pathlib import Path
from typing import Any

import pytest
import torch

from edge.rfdetr.checkpoint import Checkpoint, CheckpointError, load_checkpoint

NANO = "rfdetr-seg-nano"
POSITIONS = "backbone.0.encoder.encoder.embeddings.position_embeddings"


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
