"""Checkpoints of the nano variant, as files and as tensors."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkpoint_files import NANO, saved
from official_checkpoints import bare
from official_layout import official_tensors, outline
from torch import Tensor

from edge.rfdetr.checkpoint import Checkpoint


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
