"""Blacks out the parts of a picture that must not be looked at."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from edge.frame import Image


class IgnoreMask:
    """Polygons in fractions of the frame; an empty list blackens nothing."""

    def __init__(self, polygons: Sequence[Sequence[tuple[float, float]]]) -> None:
        self._polygons = [np.asarray(polygon, np.float64) for polygon in polygons]
        self._size: tuple[int, int] | None = None
        self._corners: list[npt.NDArray[np.int32]] = []

    def blacken(self, image: Image) -> None:
        """Set the polygons' pixels, edges included, to 0 in ``image`` ``[H, W, 3]``, in place."""
        size = image.shape[0], image.shape[1]
        if size != self._size:  # the first frame, or a camera that changed its resolution
            scale = np.array([size[1], size[0]])
            self._corners = [np.rint(p * scale).astype(np.int32) for p in self._polygons]
            self._size = size
        for corners in self._corners:  # one call each: in one call an overlap would stay visible
            cv2.fillPoly(image, [corners], (0, 0, 0))
