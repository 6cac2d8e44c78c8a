"""The pictures to measure with: the synthetic camera's, also as a video file."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from edge.capture.shapes import ShapesCamera
from edge.frame import Image

FPS = 30
FRAMES = 12
CLIP_S = 4
BIT_RATE = 6_000_000  # what a 1080p camera sends


def scene(size: tuple[int, int], seed: int) -> list[Image]:
    """Consecutive frames uint8 BGR [H, W, 3] of ``size`` (width, height)."""
    width, height = size
    camera = ShapesCamera(seed, width, height, fps=FPS, objects=8, min_size=height / 12)
    return [camera.frame(FPS + number).image for number in range(FRAMES)]


def write_clip(path: Path, frames: list[Image]) -> str:
    """Write the frames to and fro as a video of 30 frames/s; returns its codec.

    H.264 as a camera encodes it (no frame waits for a later one, a key frame a second), else
    MPEG-4 where FFmpeg comes without an encoder for it.
    """
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    options = {"preset": "veryfast", "tune": "zerolatency"} if codec == "libx264" else {}
    to_and_fro = [*frames, *frames[-2:0:-1]]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(FPS), options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = BIT_RATE
        stream.gop_size = FPS
        for number in range(CLIP_S * FPS):
            picture = to_and_fro[number % len(to_and_fro)]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode(None))
    return "H.264" if codec == "libx264" else "MPEG-4"


@dataclass(frozen=True, slots=True)
class Footage:
    """What the cameras see: frames uint8 BGR [H, W, 3], and the same as a video file."""

    frames: list[Image]
    clip: Path
    codec: str


def make_footage(size: tuple[int, int], seed: int, folder: Path) -> Footage:
    frames = scene(size, seed)
    clip = folder / "clip.mp4"
    return Footage(frames, clip, write_clip(clip, frames))
