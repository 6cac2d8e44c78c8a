"""Blacks out the parts of a picture that must not be looked at."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from edge.frame import Image

_PARTS = 8  # bits of a pixel in the corners that OpenCV is given
_RIM = 2  # pixels


class IgnoreMask:
    """Polygons in fractions of the frame; an empty list blackens nothing."""

    def __init__(self, polygons: Sequence[Sequence[tuple[float, float]]]) -> None:
        self._polygons = [np.asarray(polygon, np.float64) for polygon in polygons]
        self._size: tuple[int, int] | None = None
        self._outlines: Sequence[npt.NDArray[np.int32]] = ()

    def blacken(self, image: Image) -> None:
        """Set every pixel that a polygon touches to 0 in ``image`` ``[H, W, 3]``, in place.

        Up to two pixels around a polygon become black too. Within a polygon is what an odd number
        of its sides goes around, as in a zone; what lies in several polygons is black.
        """
        size = image.shape[0], image.shape[1]
        if size != self._size:  # the first frame, or a camera that changed its resolution
            self._outlines = self._cover(size)
            self._size = size
        if self._outlines:
            cv2.fillPoly(image, self._outlines, (0, 0, 0))

    def _cover(self, size: tuple[int, int]) -> Sequence[npt.NDArray[np.int32]]:
        """The outlines of all black areas and of what they leave free within them, in pixels."""
        height, width = size
        # With a rim: OpenCV cuts sides off at the picture's edge, sometimes a pixel too early.
        cover = np.zeros((height + 2 * _RIM, width + 2 * _RIM), np.uint8)
        for polygon in self._polygons:  # one call each: in one call an overlap would stay visible
            # OpenCV's pixels have whole numbers amid
            corners = polygon * (width, height) + (_RIM - 0.5)
            fixed = np.rint(corners * 2**_PARTS).astype(np.int32)
            cv2.fillPoly(cover, [fixed], (255,), shift=_PARTS)
        # OpenCV fills by pixel centres, and slanted sides not always to the pixel. A step to every
        # side covers the pixels that a polygon only touches.
        cover = cv2.dilate(cover, np.ones((3, 3), np.uint8))[_RIM:-_RIM, _RIM:-_RIM]
        outlines, _ = cv2.findContours(cover, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        found: Sequence[npt.NDArray[np.int32]] = outlines
        return found
