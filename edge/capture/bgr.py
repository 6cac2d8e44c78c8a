"""Turns a picture as FFmpeg decoded it into the BGR that the rest of the program works with."""

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from edge.frame import Image


class ToBgr:
    """Converts the pictures of one stream, by the colour space that the stream declares."""

    def __init__(self) -> None:
        # Kept: setting a scaler up anew costs a fifth of the conversion. One thread: the conversion
        # takes a millisecond, and every camera has a thread of its own already.
        self._scaler = VideoReformatter()

    def __call__(self, picture: av.VideoFrame) -> Image:
        """uint8 BGR ``[H, W, 3]``, contiguous and the caller's own."""
        converted = self._scaler.reformat(picture, format="bgr24", threads=1)
        image = np.ascontiguousarray(converted.to_ndarray(), np.uint8)
        return image.copy() if converted is picture else image
