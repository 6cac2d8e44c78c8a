"""One side of a comparison: the official package, eager or optimised, through ``predict``."""

import logging
import warnings
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from stage_clock import StageClock, TimedNetwork, Times
from torchvision_operators import import_torchvision
from worker_loop import serve


class Official:
    """``predict`` with its default resize, without the copy of the frame that it can hand back."""

    def __init__(self, settings: dict[str, Any]) -> None:
        import_torchvision()
        warnings.simplefilter("ignore")  # of weights that are not the package's own
        import rfdetr

        logging.getLogger("rf-detr").setLevel(logging.ERROR)
        self.versions = {"rfdetr": version("rfdetr"), "torch": torch.__version__}
        self._bgr = torch.from_numpy(np.load(settings["frame"]))
        outputs = {name: torch.from_numpy(v) for name, v in np.load(settings["outputs"]).items()}
        self._model: Any = getattr(rfdetr, settings["official_name"])(
            pretrain_weights=settings["checkpoint"],
            resolution=settings["resolution"],
            device=settings["device"],
        )
        if settings["optimised"]:
            self._model.inference(dtype=settings["dtype"])
        self._predict()  # moves the network to its device
        self._clock = StageClock(settings["device"])
        place = self._model.model
        name = "inference_model" if settings["optimised"] else "model"
        self._network = TimedNetwork(getattr(place, name), self._clock, outputs).eval()
        setattr(place, name, self._network)
        torch.set_num_threads(settings["threads"])

    def run(self, constructed: bool) -> tuple[Times, int]:
        self._network.constructed = constructed
        self._clock.start()
        found = self._predict()
        return self._clock.stop(), len(found)

    def _predict(self) -> Any:
        # It takes RGB; torch's flip is the fastest way there that every environment has.
        rgb = self._bgr.flip(-1).numpy()
        return self._model.predict(rgb, threshold=0.5, include_source_image=False)


if __name__ == "__main__":
    serve(Official)
