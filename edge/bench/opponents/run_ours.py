"""Our own side of a comparison: the same protocol, so that nothing but the code differs."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from worker_loop import Times, serve

from edge.bench.constructed import with_outputs
from edge.bench.objects import Outputs
from edge.bench.subject import ModelChoice, Subject
from edge.events.summary import summarise
from edge.version import __version__


class Ours:
    """The daemon's engine, then the summaries of what it found."""

    def __init__(self, settings: dict[str, Any]) -> None:
        choice, folder = ModelChoice(**settings["choice"]), Path(settings["folder"])
        self._subject = Subject(choice, folder)
        outputs = np.load(settings["outputs"])
        given = Outputs(*(outputs[f"pred_{name}"] for name in Outputs._fields))
        self._constructed = with_outputs(self._subject, given)
        self._image = np.load(settings["frame"])
        self.versions = {"rfdetr-edge": __version__, "torch": torch.__version__}
        torch.set_num_threads(settings["threads"])

    def run(self, constructed: bool) -> tuple[Times, int]:
        engine = self._constructed if constructed else self._subject.engine
        start = time.perf_counter()
        detections, times = engine.infer(self._image)
        inferred = time.perf_counter()
        if not constructed:
            detections = self._subject.found(detections)
        to_summarise = time.perf_counter()
        summarise(detections, self._subject.checkpoint.names)
        end = time.perf_counter()
        whole = inferred - start + end - to_summarise
        after = whole - times.preprocess - times.forward
        return (times.preprocess, times.forward, after, whole), len(detections)


if __name__ == "__main__":
    serve(Ours)
