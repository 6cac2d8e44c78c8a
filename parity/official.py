"""The official package as an oracle: its own network, loader and post-processing on our weights."""

import logging
import sys
import warnings
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tests" / "rfdetr"))

import torch
from official_layout import OFFICIAL
from torch import Tensor, nn

from edge.bench.opponents.torchvision_operators import import_torchvision

import_torchvision()
warnings.simplefilter("ignore")  # the package warns that the weights are not its own

import rfdetr  # noqa: E402  (torchvision first)

logging.getLogger("rf-detr").setLevel(logging.ERROR)


class _CellsSeenError(Exception):
    """Leaves the network once its cells are known."""


def load(model_id: str, path: Path, resolution: int) -> Any:
    """The official model object with the checkpoint at ``path``, by its own loader, on the CPU.

    At the variant's own resolution the checkpoint is loaded once more, strictly.
    """
    official = OFFICIAL[model_id]
    model = getattr(rfdetr, official.class_name)(
        pretrain_weights=str(path), resolution=resolution, device="cpu"
    )
    network = model.model.model.eval()
    if resolution == official.resolution:
        tensors = torch.load(path, weights_only=True)["model"]
        # A buffer without elements, which the package itself leaves out of older files.
        tensors["_kp_active_mask"] = torch.zeros(0, 0, dtype=torch.bool)
        network.load_state_dict(tensors, strict=True)
    return model


@torch.inference_mode()
def forward(model: Any, x: Tensor) -> dict[str, Tensor]:
    """``pred_logits`` [1, Q, rows], ``pred_boxes`` [1, Q, 4], ``pred_masks`` [1, Q, m, m]."""
    outputs: dict[str, Tensor] = model.model.model(x)
    return outputs


@torch.inference_mode()
def ranked_cells(model: Any, x: Tensor) -> Tensor:
    """The features [N, 256] of the encoder's cells that are scored to fill the query slots."""
    seen: list[Tensor] = []

    def see(_module: nn.Module, inputs: tuple[Tensor, ...], _logits: Tensor) -> None:
        seen.append(inputs[0][0])
        raise _CellsSeenError

    handle = model.model.model.transformer.enc_out_class_embed[0].register_forward_hook(see)
    try:
        model.model.model(x)
    except _CellsSeenError:
        pass
    finally:
        handle.remove()
    return seen[0]
