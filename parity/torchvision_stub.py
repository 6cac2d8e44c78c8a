"""Makes torchvision importable beside a torch build that its compiled operators do not match.

The official package imports torchvision, whose wheel may be built for CUDA while torch is not.
Then its operator library stays unloaded and the import stops at the first operator it describes.
Declaring those operators is enough here: RF-DETR-Seg inference never calls one.
"""

import importlib
import sys

import torch

_DECLARATIONS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
# Declarations last as long as the object that made them.
_libraries: list[torch.library.Library] = []


def import_torchvision() -> bool:
    """Import torchvision; True where the operators had to be declared for it."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    else:
        return False
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # a half-imported package would hide the second attempt
    library = torch.library.Library("torchvision", "FRAGMENT")
    for declaration in _DECLARATIONS:
        library.define(declaration)
    _libraries.append(library)
    importlib.import_module("torchvision")
    return True
