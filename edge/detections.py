"""What the network found in one frame, as plain arrays: all that `events` knows of inference."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Detections:
    """K detections of one frame, highest score first, each above the score threshold.

    ``score`` float32 ``[K]`` in 0..1; ``class_id`` int64 ``[K]``, the checkpoint's class row;
    ``box`` float32 ``[K, 4]``, x1 y1 x2 y2 in pixels of the source frame, clamped to it;
    ``mask_logits`` float32 ``[K, m, m]`` on the model's own mask grid, which spans the whole frame;
    ``frame_size`` (height, width) of the source frame in pixels.
    """

    score: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.int64]
    box: npt.NDArray[np.float32]
    mask_logits: npt.NDArray[np.float32]
    frame_size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.score)

    def __getitem__(self, index: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> "Detections":
        """The detections that a boolean mask or an index array selects."""
        return Detections(
            self.score[index],
            self.class_id[index],
            self.box[index],
            self.mask_logits[index],
            self.frame_size,
        )
