"""``rfdetr-edge predict``: the model once, on a picture or a video."""

import argparse
import os
import re
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.annotate import annotate
from edge.automodel import AutoModel
from edge.capture.address import FileAddress
from edge.capture.file import FileSource
from edge.capture.source import EndOfSource, SourceError
from edge.clock import Clock, Timestamp
from edge.events.message import FrameMessageBuilder
from edge.events.summary import summarise
from edge.frame import Frame, Image
from edge.rfdetr.variants import VARIANTS
from edge.spelling import did_you_mean

PICTURES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
VIDEOS = {".avi", ".mkv", ".mov", ".mp4"}
UNBOUNDED_BYTES = 1 << 31  # the JSON goes to a person or a pipe: nothing is left out


class PredictError(Exception):
    """The command cannot do what it was asked; one sentence says why."""

    exit_code = 1


class UsageError(PredictError):
    exit_code = 2


def predict(arguments: argparse.Namespace) -> int:
    source: Path = arguments.source
    if not source.is_file():
        raise PredictError(f"{source}: {'is not a file' if source.exists() else 'no such file'}")
    if arguments.output is None and not arguments.json:
        raise UsageError("nothing to do: give --output FILE, --json or both")
    check_output(source, arguments.output)
    if not 0 <= arguments.confidence <= 1:
        raise UsageError(f"--confidence is {arguments.confidence}, not between 0 and 1")
    if arguments.model_type not in (None, *VARIANTS):
        hint = did_you_mean(arguments.model_type, VARIANTS) or f", not one of {', '.join(VARIANTS)}"
        raise UsageError(f"--model-type is {arguments.model_type!r}{hint}")
    model = AutoModel.from_pretrained(
        arguments.model,
        arguments.model_type,
        read_labels(arguments.labels),
        arguments.device,
        confidence=arguments.confidence,
    )
    runner = _Runner(model, camera_id(source), arguments.json)
    if is_picture(source):
        _on_picture(runner, source, arguments.output)
    else:
        _on_video(runner, source, arguments.output)
    return 0


def is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURES


def check_output(source: Path, output: Path | None) -> None:
    """Before the work, not after it. Raises ``UsageError``."""
    if output is None:
        return
    if output.exists() and output.samefile(source):
        raise UsageError("--output would overwrite the source: name another file")
    if not output.parent.is_dir():
        raise UsageError(f"{output.parent}: no such folder")
    kinds = PICTURES if is_picture(source) else VIDEOS
    if output.suffix.lower() not in kinds:
        raise UsageError(f"{output}: must end in one of {', '.join(sorted(kinds))}")


def read_labels(text: str | None) -> Any:
    """``coco``, a comma-separated list, or a file with one label a line; None where not given."""
    if text is None or text == "coco":
        return text
    if "," not in text and Path(text).is_file():
        try:
            lines = Path(text).read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            raise UsageError(f"{text}: is not UTF-8 text with one label a line") from None
        return [line.strip() for line in lines if line.strip()]
    if "," not in text and ("/" in text or Path(text).suffix):
        raise UsageError(f"{text}: no such file")
    return [label.strip() for label in text.split(",")]


def camera_id(source: Path) -> str:
    """What stands for the camera in the messages: the file's name, in a camera id's characters."""
    return re.sub(r"[^a-z0-9_-]+", "-", source.stem.lower()) or "file"


class _Runner:
    """One frame at a time: message to stdout where asked for, annotated picture back."""

    def __init__(self, model: AutoModel, camera: str, as_json: bool) -> None:
        self._model, self._camera, self._as_json = model, camera, as_json
        self._messages = FrameMessageBuilder("predict", "0" * 8, model.variant, UNBOUNDED_BYTES)
        self._clock = Clock()

    def __call__(self, image: Image, number: int, draw: bool) -> Image | None:
        captured_at: Timestamp = self._clock.now()
        frame = Frame(self._camera, number, captured_at, image)
        detections, times = self._model.detect(image)
        if self._as_json:
            objects = summarise(detections, self._model.names).objects
            message = self._messages.build(
                frame,
                objects,
                captured_at.uptime_s,
                sum(times) * 1000,
                self._clock.uptime_s(),
            )
            try:
                sys.stdout.write(message.decode() + "\n")
                sys.stdout.flush()
            except BrokenPipeError:  # whoever read it has seen enough
                if not draw:
                    raise
                self._as_json = False
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            except OSError as error:
                raise PredictError(f"the messages cannot be written: {error.strerror}") from None
        if not draw:
            return None
        return annotate(image, detections, self._model.names)


def _on_picture(runner: _Runner, source: Path, output: Path | None) -> None:
    image = cv2.imread(str(source), cv2.IMREAD_COLOR)
    if image is None:
        raise PredictError(f"{source}: is not a picture that OpenCV can read")
    annotated = runner(image, 0, output is not None)
    if output is None or annotated is None:
        return
    if not cv2.imwrite(str(output), annotated):
        raise PredictError(f"{output}: cannot be written")


def _on_video(runner: _Runner, source: Path, output: Path | None) -> None:
    import av
    from tqdm import tqdm

    try:
        with av.open(str(source)) as container:
            count = container.streams.video[0].frames if container.streams.video else 0
    except av.FFmpegError:
        count = 0  # opening it below says what is wrong
    video = FileSource(FileAddress(source, pace=False), lambda seconds: None)
    try:
        video.open()
        with closing(_Video(output, video.description.fps or 25.0)) as annotated_video:
            for number, image in enumerate(tqdm(_frames(video), total=count or None, unit="frame")):
                annotated = runner(image, number, output is not None)
                if annotated is not None:
                    annotated_video.write(annotated)
    except SourceError as error:
        raise PredictError(str(error)) from None
    finally:
        video.close()


def _frames(video: FileSource) -> Iterator[Image]:
    """Every picture of the file; as in the daemon, what cannot be decoded is passed over."""
    while True:
        try:
            video.grab()
        except EndOfSource:
            return
        yield video.retrieve()


class _Video:
    """The annotated video, H.264 where FFmpeg can encode it; as large as its first frame."""

    def __init__(self, path: Path | None, fps: float) -> None:
        self._path, self._fps = path, Fraction(fps).limit_denominator(1001)
        self._container: Any = None
        self._stream: Any = None

    def write(self, image: Image) -> None:
        import av

        # Encoders work on blocks of 2x2 pixels: an odd last row or column is left out.
        image = np.ascontiguousarray(image[: len(image) & ~1, : image.shape[1] & ~1])
        with self._translated():
            if self._container is None:
                self._container = av.open(str(self._path), "w")
                codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
                self._stream = self._container.add_stream(codec, rate=self._fps)
                self._stream.height, self._stream.width = image.shape[:2]
                self._stream.pix_fmt = "yuv420p"
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        if self._container is None:
            return
        container, self._container = self._container, None
        with self._translated():
            container.mux(self._stream.encode(None))
            container.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # FFmpeg's errors are both of these
            reason = getattr(error, "strerror", None) or str(error)
            raise PredictError(f"{self._path}: cannot be written ({reason.lower()})") from None
