"""A frame and what was found in it, as a picture that can be sent."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edge.detections import Detections
from edge.frame import Frame, Image

if TYPE_CHECKING:
    from edge.events.summary import ObjectSummary

_JPEG_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Result:
    """A frame, what was found in it, and what of that its message reports."""

    frame: Frame
    detections: Detections
    objects: "Sequence[ObjectSummary]"

    @property
    def counts(self) -> dict[str, int]:
        """The number of reported objects by label."""
        return dict(Counter(seen.label for seen in self.objects))

    def jpeg(self, max_width: int | None = None) -> bytes:
        """The frame with the reported objects drawn on it, no others; takes its time.

        A frame wider than ``max_width`` pixels is scaled down to it.
        """
        # Late: most daemons never make a picture.
        import cv2

        from edge.annotate import annotate

        # The objects of the message, no others: the numbers beside the picture are theirs.
        found = self.detections[np.array([seen.detection for seen in self.objects], dtype=np.intp)]
        image = self.frame.image
        if max_width is not None and image.shape[1] > max_width:
            # Before drawing, which then costs less; lines and text are as sharp as they can be.
            image, found = _scaled(image, found, max_width)
        labels = {seen.class_id: seen.label for seen in self.objects}
        names = [labels.get(row) for row in range(max(labels, default=-1) + 1)]
        picture = annotate(image, found, names, [seen.track_id for seen in self.objects])
        _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        return jpeg.tobytes()


def _scaled(image: Image, found: Detections, width: int) -> tuple[Image, Detections]:
    """Both for a frame ``width`` pixels wide, of the same shape."""
    import cv2

    height = max(1, round(image.shape[0] * width / image.shape[1]))
    factors = np.array([width / image.shape[1], height / image.shape[0]] * 2, dtype=np.float32)
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return image, replace(found, box=found.box * factors, frame_size=(height, width))
