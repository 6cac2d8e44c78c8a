"""What is measured: the daemon's own parts, loaded as the daemon loads them."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from edge.bench.objects import Floats, blobs
from edge.bench.options import DEFAULT_MODEL_TYPE, Options, UsageError
from edge.bench.seeded import write_seeded_checkpoint
from edge.clock import Clock
from edge.config import Config
from edge.detections import Detections
from edge.events.lifecycle import Lifecycle
from edge.events.lines import LineTotals
from edge.events.message import FrameMessageBuilder
from edge.events.summary import summarise
from edge.folders import default_cache_dir
from edge.frame import Frame, Image
from edge.inference.engine import Engine
from edge.inference.loop import Infers
from edge.inference.stage_times import StageTimes
from edge.metrics import Metrics
from edge.model_loading import load_model
from edge.model_source import DEMO_ID
from edge.publish.mqtt import Publisher
from edge.publish.topics import Topics
from edge.rfdetr.checkpoint import Checkpoint, CheckpointError
from edge.rfdetr.variants import VARIANTS
from edge.spelling import did_you_mean

NODE, SESSION, CAMERA = "bench", "0" * 8, "camera-1"


class FrameTimes(NamedTuple):
    """Seconds of one frame: in each stage, and from its slot to the MQTT client's hands."""

    preprocess: float
    forward: float
    postprocess: float
    summarise: float
    publish: float
    whole: float


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which model, on what. ``name`` is an id or a path; ``seeded``: its masks are noise."""

    name: str
    type: str | None
    labels: list[str] | str | None
    device: str
    precision: str
    resize: str
    seeded: bool
    seed: int


class Subject:
    """A warm engine and what comes behind it. For the thread that makes it.

    The publisher is the daemon's, but never connected: it drops what it is given. With seeded
    weights, ``blobs`` of 1 to 5 % of the frame stand in for the masks before they are summarised:
    a mask of noise has an outline like no object's.
    """

    def __init__(self, choice: ModelChoice, folder: Path, cameras: int = 1) -> None:
        self.choice, self.folder = choice, folder
        self.config = _config(choice, folder, cameras)
        loaded = load_model(self.config, "rfdetr-edge bench")
        self.checkpoint: Checkpoint = loaded.checkpoint
        self.engine: Engine = loaded.engine
        self.clock = Clock()
        self.metrics = Metrics()
        self.topics = Topics(self.config.mqtt.base_topic, self.config.node)
        mqtt, state_dir = self.config.mqtt, self.config.state_dir
        self.publisher = Publisher(mqtt, self.topics, self.metrics, self.clock, state_dir)
        variant = self.checkpoint.variant.name
        self.messages = FrameMessageBuilder(NODE, SESSION, variant, mqtt.max_payload_bytes)
        self._lifecycle = Lifecycle(
            self.config.cameras[0], self.config.tracking, SESSION, LineTotals(CAMERA)
        )
        self._blobs: Floats | None = None
        if choice.seeded:
            grid = self.engine.resolution // self.checkpoint.variant.mask_stride
            self._blobs = blobs(self.config.model.max_detections, grid, choice.seed)[0]

    def found(self, detections: Detections) -> Detections:
        """What is summarised: the network's own detections, with blobs for masks of noise."""
        if self._blobs is None:
            return detections
        return replace(detections, mask_logits=self._blobs[: len(detections)])

    def in_loop(self) -> Infers:
        """The engine as the inference loop gets it, with blobs for masks of noise."""
        return self.engine if self._blobs is None else _WithBlobs(self)

    def run(self, image: Image) -> FrameTimes:
        """One frame all the way, one stage after the other."""
        frame = Frame(CAMERA, 0, self.clock.now(), image)
        start = time.perf_counter()
        detections, times = self.engine.infer(image)
        inferred = time.perf_counter()
        detections = self.found(detections)
        to_summarise = time.perf_counter()
        summary = summarise(detections, self.checkpoint.names)
        objects = self._lifecycle.see(frame, detections, summary).objects
        summarised = time.perf_counter()
        payload = self.messages.build(
            frame, objects, frame.captured_at.uptime_s, sum(times) * 1000, self.clock.uptime_s()
        )
        self.publisher.publish_frame(self.topics.frame(CAMERA), payload)
        end = time.perf_counter()
        whole = inferred - start + end - to_summarise
        return FrameTimes(*times, summarised - to_summarise, end - summarised, whole)


class _WithBlobs:
    """The subject's engine, whose detections have blobs for masks."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    @property
    def depth(self) -> int:
        return self._subject.engine.depth

    def submit(self, image: Image) -> None:
        self._subject.engine.submit(image)

    def harvest(self) -> tuple[Detections, StageTimes]:
        detections, times = self._subject.engine.harvest()
        return self._subject.found(detections), times


def choose_model(options: Options, image: Image, folder: Path) -> ModelChoice:
    """The model asked for; without one, a seeded checkpoint that is written into ``folder``.

    Raises ``UsageError``, and ``CheckpointError`` for a name that is neither a model nor a file.
    """
    from edge.predict import read_labels

    def chosen(name: str, model_type: str | None, seeded: bool = False) -> ModelChoice:
        device, precision, resize = options.device, options.precision, options.resize
        return ModelChoice(
            name, model_type, labels, device, precision, resize, seeded, options.seed
        )

    labels = None if options.labels is None else read_labels(options.labels)

    if options.model in VARIANTS:
        if options.model_type not in (None, options.model):
            raise UsageError(f"--model-type {options.model_type} contradicts --model")
        return chosen(options.model, None)
    if options.model is not None:
        path = Path(options.model)
        if not path.exists():
            hint = did_you_mean(options.model, VARIANTS)
            raise CheckpointError(f"{options.model}: is neither a file nor a model id{hint}")
        if not path.is_file():
            raise CheckpointError(f"{options.model}: is not a file")
        return chosen(str(path.absolute()), options.model_type)
    model_type = options.model_type or DEFAULT_MODEL_TYPE
    if model_type == DEMO_ID:
        return chosen(DEMO_ID, None)
    path = folder / f"{model_type}.pth"
    write_seeded_checkpoint(path, VARIANTS[model_type], options.seed, image, options.resize)
    return chosen(str(path), model_type, seeded=True)


def _config(choice: ModelChoice, folder: Path, cameras: int) -> Config:
    named = {"id": choice.name} if choice.name in VARIANTS else {"path": choice.name}
    model = {
        **named,
        "type": choice.type,
        "labels": choice.labels,
        "device": choice.device,
        "precision": choice.precision,
        "resize": choice.resize,
    }
    values = {
        "node": NODE,
        "state_dir": str(folder),
        "cache_dir": str(default_cache_dir()),
        "model": model,
        "cameras": [
            {"id": f"camera-{number}", "source": "shapes:"} for number in range(1, cameras + 1)
        ],
    }
    return Config.model_validate(values, context={"folder": folder})
