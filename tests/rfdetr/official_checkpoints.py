"""A state dict wrapped as each generation of the official trainer saved it, without that trainer.

The contents beside the weights are abridged to what tells a reader something, or gets in its way:
other tensors, a second set of weights, a namespace in place of a dict.
"""

from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from official_layout import OFFICIAL
from torch import Tensor

Tensors = Mapping[str, Tensor]


def prefixed(tensors: Tensors, prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def with_keypoint_buffer(tensors: Tensors) -> dict[str, Tensor]:
    """What rfdetr 1.8 and newer add to a model that has no keypoints."""
    return {"_kp_active_mask": torch.zeros(0, 0, dtype=torch.bool), **tensors}


def model_config(model_id: str, **changed: Any) -> dict[str, Any]:
    """The architecture as rfdetr 1.7 and newer record it."""
    official = OFFICIAL[model_id]
    return {
        "encoder": "dinov2_windowed_small",
        "out_feature_indexes": [3, 6, 9, 12],
        "dec_layers": official.decoder_layers,
        "projector_scale": ["P4"],
        "hidden_dim": 256,
        "patch_size": 12,
        "num_windows": official.windows,
        "num_queries": official.queries,
        "num_select": official.queries,
        "num_classes": 90,
        "pretrain_weights": None,
        "device": "cuda",
        "resolution": official.resolution,
        "positional_encoding_size": official.resolution // 12,
        "group_detr": 13,
        "segmentation_head": True,
        "num_keypoints_per_class": [],
        "mask_downsample_ratio": 4,
        "model_name": None,
        **changed,
    }


def namespace_args(model_id: str, **changed: Any) -> Namespace:
    """The arguments as rfdetr 1.5 and older record them: architecture and training in one."""
    training = {
        "lr": 1e-4,
        "epochs": 100,
        "output_dir": "output",
        "world_size": 1,
        "class_names": [],
    }
    return Namespace(**{**model_config(model_id), **training, **changed})


def train_config(**changed: Any) -> dict[str, Any]:
    """The arguments as rfdetr 1.6 and newer record them: of the training alone."""
    training = {"lr": 1e-4, "epochs": 100, "multi_scale": "per-batch", "dataset_dir": "/data"}
    return {**training, "class_names": None, "aug_config": None, **changed}


def bare(model_id: str, tensors: Tensors) -> dict[str, Any]:
    return {"model": dict(tensors)}


def legacy(model_id: str, tensors: Tensors, **changed: Any) -> dict[str, Any]:
    """checkpoint.pth of rfdetr <= 1.5: everything needed to go on training."""
    moment = {"step": torch.tensor(7.0), "exp_avg": torch.ones(4), "exp_avg_sq": torch.ones(4)}
    return {
        "model": OrderedDict(tensors),
        "optimizer": {"state": {0: moment}, "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.999)}]},
        "lr_scheduler": {"base_lrs": [1e-4], "last_epoch": 3, "lr_lambdas": [None]},
        "epoch": 3,
        "args": namespace_args(model_id, **changed),
        "ema_model": OrderedDict((name, tensor + 1) for name, tensor in tensors.items()),
    }


def stripped(model_id: str, tensors: Tensors, **changed: Any) -> dict[str, Any]:
    """checkpoint_best_total.pth of rfdetr <= 1.5."""
    return {"model": OrderedDict(tensors), "args": namespace_args(model_id, **changed)}


def ema(model_id: str, tensors: Tensors) -> dict[str, Any]:
    """checkpoint_best_ema.pth of rfdetr <= 1.5: the averaged weights are its "model"."""
    content = legacy(model_id, tensors)
    del content["ema_model"]
    return content


def best_model(
    model_id: str, tensors: Tensors, version: str = "1.11.2", **changed: Any
) -> dict[str, Any]:
    """checkpoint_best_*.pth of rfdetr >= 1.7; ``changed`` is of its ``args``."""
    weights = with_keypoint_buffer(tensors)
    average = prefixed(weights, "module.model.")
    monitor = {"monitor": "val/mAP_50_95", "best_model_score": torch.tensor(0.4), "_best_ema": 0.41}
    rows = len(tensors["class_embed.bias"])
    return {
        "model": weights,
        "epoch": 3,
        "state_dict": prefixed(weights, "model."),
        "global_step": 100,
        "pytorch-lightning_version": "2.6.1",
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 4}}}},
        "callbacks": {
            "RFDETREMACallback": {
                "latest_update_step": 100,
                "average_model_state_dict": {"n_averaged": torch.tensor(100), **average},
            },
            "BestModelCallback": monitor,
        },
        "optimizer_states": [],
        "lr_schedulers": [],
        "args": train_config(**changed),
        "model_name": OFFICIAL[model_id].class_name,
        "model_config": model_config(model_id, num_classes=rows - 1),
        "rfdetr_version": version,
    }


def best_total_without_config(model_id: str, tensors: Tensors) -> dict[str, Any]:
    """checkpoint_best_total.pth of rfdetr 1.7 to 1.9, which lost its model_config."""
    content = best_model(model_id, tensors, version="1.9.4")
    for lost in ("model_config", "epoch", "callbacks"):
        del content[lost]
    return {**content, "best_total_source": "regular"}


def lightning(model_id: str, tensors: Tensors) -> dict[str, Any]:
    """last.ckpt of rfdetr 1.6 to 1.11.0: says nothing of its model."""
    content = best_model(model_id, tensors)
    for absent in ("model", "args", "model_name", "model_config", "rfdetr_version"):
        del content[absent]
    content["state_dict"]["criterion.empty_weight"] = torch.ones(91)
    return content


def compiled_lightning(model_id: str, tensors: Tensors) -> dict[str, Any]:
    """The same where the training compiled its model."""
    weights = prefixed(with_keypoint_buffer(tensors), "model._orig_mod.")
    return {**lightning(model_id, tensors), "state_dict": weights}


def described_lightning(model_id: str, tensors: Tensors) -> dict[str, Any]:
    """last.ckpt of rfdetr 1.11.1 and newer."""
    content = best_model(model_id, tensors)
    del content["model"]
    return content


def converted(model_id: str, tensors: Tensors) -> dict[str, Any]:
    """An old checkpoint.pth that rfdetr's own converter turned into a .ckpt."""
    return {
        "state_dict": prefixed(tensors, "model."),
        "epoch": 3,
        "global_step": 0,
        "hyper_parameters": vars(namespace_args(model_id)),
        "legacy_checkpoint_format": True,
        "legacy_ema_state_dict": {name: tensor + 1 for name, tensor in tensors.items()},
    }


def distributed(model_id: str, tensors: Tensors) -> dict[str, Any]:
    return stripped(model_id, prefixed(tensors, "module."))


def compiled(model_id: str, tensors: Tensors) -> dict[str, Any]:
    return stripped(model_id, prefixed(tensors, "_orig_mod."))


def weights_alone(model_id: str, tensors: Tensors) -> dict[str, Any]:
    """A state dict saved without any wrapping."""
    return dict(tensors)


GENERATIONS: tuple[Callable[[str, Tensors], dict[str, Any]], ...] = (
    bare,
    legacy,
    stripped,
    ema,
    best_model,
    best_total_without_config,
    lightning,
    compiled_lightning,
    described_lightning,
    converted,
    distributed,
    compiled,
    weights_alone,
)


def lora(model_id: str, tensors: Tensors) -> dict[str, Any]:
    """A backbone_lora=True run: the encoder's names carry the adapter library's prefix."""
    encoder, adapted = "backbone.0.encoder.", "backbone.0.encoder.base_model.model."
    weights = {
        adapted + name.removeprefix(encoder) if name.startswith(encoder) else name: tensor
        for name, tensor in tensors.items()
    }
    query = f"{adapted}encoder.encoder.layer.0.attention.attention.query."
    weights[f"{query}base_layer.weight"] = weights.pop(f"{query}weight")
    weights[f"{query}base_layer.bias"] = weights.pop(f"{query}bias")
    weights[f"{query}lora_A.default.weight"] = torch.zeros(16, 384)
    weights[f"{query}lora_B.default.weight"] = torch.zeros(384, 16)
    return best_model(model_id, weights)
