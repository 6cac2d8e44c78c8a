"""One side of a comparison: inference-models, eager or optimised, with dense masks."""

import logging
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from stage_clock import StageClock, TimedNetwork, Times
from torchvision_operators import import_torchvision
from worker_loop import serve


class InferenceModels:
    """Its three public steps, and the detections on the host at the end."""

    def __init__(self, settings: dict[str, Any]) -> None:
        import_torchvision()
        from inference_models.models.rfdetr.rfdetr_instance_segmentation_pytorch import (
            RFDetrForInstanceSegmentationTorch,
        )

        logging.disable(logging.WARNING)
        name = "inference-models"
        self.versions = {name: version(name), "torch": torch.__version__}
        self._bgr = np.load(settings["frame"])
        outputs = {name: torch.from_numpy(v) for name, v in np.load(settings["outputs"]).items()}
        # It unpickles anything; the daemon's loader has read this file before, as data alone.
        self._model: Any = RFDetrForInstanceSegmentationTorch.from_checkpoint_file(
            checkpoint_path=settings["checkpoint"],
            model_type=settings["model_type"],
            resolution=settings["resolution"],
            device=torch.device(settings["device"]),
        )
        if settings["optimised"]:
            self._model.optimize_for_inference(dtype=getattr(torch, settings["dtype"]))
        self._clock = StageClock(settings["device"])
        self._network = TimedNetwork(self._model.forward, self._clock, outputs)
        torch.set_num_threads(settings["threads"])

    def run(self, constructed: bool) -> tuple[Times, int]:
        self._network.constructed = constructed
        with torch.inference_mode():
            self._clock.start()
            pictures, meta = self._model.pre_process(self._bgr)
            outputs = self._network(pictures)
            found = self._model.post_process(outputs, meta, confidence=0.5, mask_format="dense")[0]
            found.to_supervision()
        return self._clock.stop(), len(found.confidence)


if __name__ == "__main__":
    serve(InferenceModels)
