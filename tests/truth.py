"""Judges published objects by what the synthetic camera knows was there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge.capture.shapes import ShapesCamera


def box_iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two x1 y1 x2 y2 boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return shared / (sum(areas) - shared) if shared else 0.0


@dataclass
class Score:
    """Counts over all judged frames; an object is right when label and box (IoU > 0.5) are."""

    right: int = 0
    wrong: int = 0
    missed: int = 0
    area_ratio: list[float] = field(default_factory=list)  # published / true, of the right ones
    centroid_error_px: list[float] = field(default_factory=list)

    @property
    def recall(self) -> float:
        return self.right / max(self.right + self.missed, 1)

    @property
    def precision(self) -> float:
        return self.right / max(self.right + self.wrong, 1)


class Truth:
    """The true objects of a synthetic camera's frames, each drawn once."""

    def __init__(self, camera: ShapesCamera) -> None:
        self._camera = camera
        self._frames: dict[int, list[Any]] = {}

    def objects(self, number: int) -> list[Any]:
        if number not in self._frames:
            self._frames[number] = self._camera.frame(number).objects
        return self._frames[number]

    def judge(self, messages: Mapping[int, Mapping[str, Any]]) -> Score:
        """Score messages by the number of the synthetic frame that they are of.

        Objects of which too little is visible are neither asked for nor wrong.
        """
        score = Score()
        for number, message in messages.items():
            open_truths = list(self.objects(number))
            for found in message["objects"]:
                hits = [
                    true
                    for true in open_truths
                    if true.label == found["label"] and box_iou(true.box, found["bbox"]) > 0.5
                ]
                if not hits:
                    score.wrong += 1
                    continue
                true = max(hits, key=lambda t: box_iou(t.box, found["bbox"]))
                open_truths.remove(true)
                if true.ignore:
                    continue
                score.right += 1
                rows, columns = np.nonzero(true.mask)
                score.area_ratio.append(found["area_px"] / len(rows))
                x, y = found["centroid"]
                error = np.hypot(x - columns.mean() - 0.5, y - rows.mean() - 0.5)
                score.centroid_error_px.append(float(error))
            score.missed += sum(not true.ignore for true in open_truths)
        return score

    def align(self, messages: Mapping[int, Mapping[str, Any]], length: int) -> int:
        """Which frame of a clip of ``length`` frames, played in a loop, the message of id 0 is of.

        A stream is joined anywhere in the clip, but ids then count on with it.
        """
        sample = dict(list(messages.items())[:: max(1, len(messages) // 12)])

        def right(offset: int) -> int:
            return self.judge(
                {(number + offset) % length: message for number, message in sample.items()}
            ).right

        return max(range(length), key=right)
