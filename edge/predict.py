"""``rfdetr-edge predict``: the model once, on a picture or a video."""

import argparse
import re
import sys
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2

from edge.annotate import annotate
from edge.automodel import AutoModel
from edge.clock import Clock, Timestamp
from edge.events.message import FrameMessageBuilder
from edge.events.summary import summarise
from edge.frame import Frame, Image
from edge.rfdetr.variants import VARIANTS
from edge.spelling import did_you_mean

PICTURES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
UNBOUNDED_BYTES = 1 << 31  # the JSON goes to a person or a pipe: nothing is left out


class PredictError(Exception):
    """The command cannot do what it was asked; one sentence says why."""

    exit_code = 1


class UsageError(PredictError):
    exit_code = 2


def predict(arguments: argparse.Namespace) -> int:
    source: Path = arguments.source
    if not source.is_file():
        raise PredictError(f"{source}: no such file")
    if arguments.output is None and not arguments.json:
        raise UsageError("nothing to do: give --output FILE, --json or both")
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
    if source.suffix.lower() in PICTURES:
        _on_picture(runner, source, arguments.output)
    else:
        _on_video(runner, source, arguments.output)
    return 0


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
            objects = summarise(detections, self._model.names, None, 0)
            message = self._messages.build(
                frame,
                objects,
                captured_at.uptime_s,
                sum(times) * 1000,
                self._clock.uptime_s(),
            )
            sys.stdout.write(message.decode() + "\n")
            sys.stdout.flush()
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
    try:
        written = cv2.imwrite(str(output), annotated)
    except cv2.error:  # an ending that names no picture format
        written = False
    if not written:
        raise PredictError(f"{output}: cannot be written as a picture")


def _on_video(runner: _Runner, source: Path, output: Path | None) -> None:
    from tqdm import tqdm

    with closing(_frames(source)) as frames, closing(_Video(output)) as video:
        count, fps = next(frames)
        for number, image in enumerate(tqdm(frames, total=count or None, unit="frame")):
            annotated = runner(image, number, output is not None)
            if annotated is not None:
                video.write(annotated, fps)


def _frames(source: Path) -> Generator[Any, None, None]:
    """First (number of frames as far as known, frames per second), then the frames."""
    capture = cv2.VideoCapture(str(source))
    try:
        if not capture.isOpened():
            raise PredictError(f"{source}: is not a picture or video that OpenCV can read")
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        yield max(count, 0), capture.get(cv2.CAP_PROP_FPS) or 25.0
        while True:
            good, image = capture.read()
            if not good:
                return
            yield image
    finally:
        capture.release()


class _Video:
    """The annotated video; opened with the first frame, whose size it takes."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._writer: Any = None

    def write(self, image: Image, fps: float) -> None:
        if self._writer is None:
            height, width = image.shape[:2]
            fourcc = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._path), fourcc, fps, (width, height))
            if not self._writer.isOpened():
                raise PredictError(f"{self._path}: cannot be written as a video (use .mp4)")
        self._writer.write(image)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()
