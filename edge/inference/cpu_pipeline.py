"""One frame after the other on the CPU."""

import time

import torch

from edge.detections import Detections
from edge.frame import Image
from edge.inference.frame_pass import FramePass
from edge.inference.preprocess import frame_table
from edge.inference.stage_times import StageTimes


class CpuPipeline:
    """Computes a frame as it is submitted. Masks are made for kept detections only."""

    depth = 1

    def __init__(self, frame_pass: FramePass) -> None:
        self._pass = frame_pass
        self._done: tuple[Detections, StageTimes] | None = None

    @property
    def in_flight(self) -> int:
        return int(self._done is not None)

    @torch.inference_mode()
    def submit(self, image: Image) -> None:
        assert self._done is None, "a frame is in flight"
        size = image.shape[0], image.shape[1]
        start = time.perf_counter()
        table = frame_table(*size, self._pass.model.resolution)
        x = self._pass.preprocess(torch.from_numpy(image).view(-1, 3), table, size)
        preprocessed = time.perf_counter()
        output = self._pass.model(x)
        forwarded = time.perf_counter()
        found = self._pass.select(output, table)
        kept = found.kept.nonzero()[:, 0]
        masks = self._pass.masks(output, found.query[kept]).float()
        detections = Detections(
            found.score[kept].numpy(),
            found.row[kept].numpy(),
            found.box[kept].numpy(),
            masks.numpy(),
            size,
        )
        end = time.perf_counter()
        times = StageTimes(preprocessed - start, forwarded - preprocessed, end - forwarded)
        self._done = detections, times

    def harvest(self) -> tuple[Detections, StageTimes]:
        assert self._done is not None, "no frame is in flight"
        done, self._done = self._done, None
        return done

    def close(self) -> None:
        """Let go of the network."""
        del self._pass
