"""JPEG pictures decoded on the GPU: torchvision's nvJPEG.

The inference engine owns the device. A decoder here makes way while it captures a graph, has a
stream of its own, and waits for nothing but its own picture; that the two share the GPU's time is
the price.
"""

import sys
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.capture.source import DamagedFrame
from edge.cuda_calls import side_calls
from edge.frame import Image

# From the bytes of one JPEG, uint8 ``[N]``, its picture in BGR; raises `DamagedFrame`.
DecodeJpeg = Callable[[npt.NDArray[np.uint8]], Image]


def jpeg_decoder() -> DecodeJpeg | None:
    """A decoder for one capture thread; None where this process has none.

    Only a process that already uses CUDA has one: a context for the sake of JPEGs would take a few
    hundred MB. And only where torchvision was built with nvJPEG, which NVIDIA's builds for Jetson
    are not always.
    """
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    try:
        from torchvision.io import ImageReadMode, decode_jpeg
    except (ImportError, RuntimeError):  # absent, or of another torch
        return None
    with side_calls:
        stream = torch.cuda.Stream()

    def decode(data: npt.NDArray[np.uint8]) -> Image:
        with side_calls, torch.cuda.stream(stream):
            try:
                rgb = decode_jpeg(torch.from_numpy(data), mode=ImageReadMode.RGB, device="cuda")
            except RuntimeError:
                raise DamagedFrame from None
            bgr = rgb.flip(0).permute(1, 2, 0).contiguous()  # [3, H, W] -> [H, W, 3]
            image: Image = bgr.cpu().numpy()  # waits for this stream alone
            return image

    return decode if _works(decode) else None


def _works(decode: DecodeJpeg) -> bool:
    """Whether a picture comes out as it went in, its colours in the right order."""
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[:] = 200, 100, 30
    _, data = cv2.imencode(".jpg", picture)
    try:
        decoded = decode(np.asarray(data, np.uint8).reshape(-1))
    except DamagedFrame:
        return False
    return decoded.shape == picture.shape and bool(np.abs(decoded.astype(int) - picture).max() < 16)
