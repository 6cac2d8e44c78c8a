"""A frame: one picture of one camera, and when it was taken."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.clock import Timestamp

Image = npt.NDArray[np.uint8]  # [H, W, 3], BGR


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """A frame without its picture: what remains of it where the picture would cost its memory.

    ``size`` is (height, width) in pixels.
    """

    camera: str
    id: int
    captured_at: Timestamp
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Frame:
    """A captured picture. It is handed from thread to thread and never written again.

    ``id`` counts the captured frames of its camera from 0; ``captured_at`` is read right after the
    frame was grabbed, or runs on the time of a file that is read without pace; ``image`` is uint8
    BGR ``[H, W, 3]``.
    """

    camera: str
    id: int
    captured_at: Timestamp
    image: Image

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def header(self) -> FrameHeader:
        return FrameHeader(self.camera, self.id, self.captured_at, self.size)
