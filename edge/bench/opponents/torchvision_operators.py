"""Imports torchvision where its compiled operators do not load, as with a wheel built for CUDA
beside a torch that is not. Importing it then fails at the first operator that it describes; with
the two that it describes at import declared, everything that is written in Python works, and
RF-DETR-Seg needs no more.
"""

import importlib
import sys

import torch

_SCHEMAS = ("nms", "qnms")
_declared: list[torch.library.Library] = []  # a declaration ends with its object


def import_torchvision() -> None:
    """Import torchvision, compiled operators or not."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        library = torch.library.Library("torchvision", "FRAGMENT")
        _declared.append(library)
        for name in _SCHEMAS:
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        for module in list(sys.modules):
            if module.split(".")[0] == "torchvision":
                del sys.modules[module]  # what the first attempt left half done
        importlib.import_module("torchvision")
