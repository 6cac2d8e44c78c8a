"""What the CUDA path promises, as functions that a test and a checklist both ask.

Most return None, or a sentence with what is wrong. They look into the pipeline, whose buffers and
graphs nobody else has to know.
"""

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from edge.bench.seeded import seeded_tensors
from edge.detections import Detections
from edge.frame import Image
from edge.inference.cuda_pipeline import CudaPipeline
from edge.inference.engine import Engine
from edge.masks import full_masks
from edge.model_source import DEMO_CHECKPOINT, DEMO_ID
from edge.rfdetr.checkpoint import Checkpoint, build_model, load_checkpoint
from edge.rfdetr.convert import convert
from edge.rfdetr.labels import COCO_NAMES
from edge.rfdetr.model import RFDETRSeg
from edge.rfdetr.variants import VARIANTS

EVERYTHING = -1.0  # a threshold that every score is above
DEVICE_COUNTERS = (
    "allocation.all.allocated",
    "segment.all.allocated",
    "reserved_bytes.all.current",
    "num_alloc_retries",
)
HOST_COUNTERS = ("num_host_alloc", "num_host_free")
CONFIG = """\
node: gpu
state_dir: {folder}
model: {{id: rfdetr-seg-demo, device: cuda}}
cameras: [{{id: shapes, source: "shapes:?seed=7&objects=5"}}]
mqtt: {{port: 9}}
http: {{port: 0}}
"""
SHORT_OF_MEMORY = """\
import sys, torch
total = torch.cuda.get_device_properties(0).total_memory
torch.cuda.set_per_process_memory_fraction(int(sys.argv[1]) / total, 0)
from edge.cli import main
sys.exit(main(["run", "-c", sys.argv[2]]))
"""


def model_named(name: str) -> RFDETRSeg:
    """The shipped demo model, or a published variant with seeded weights; float32 on the CPU."""
    if name == DEMO_ID:
        return build_model(load_checkpoint(DEMO_CHECKPOINT))
    variant = VARIANTS[name]
    state = convert(seeded_tensors(variant, 0), variant, variant.resolution)
    return build_model(Checkpoint(Path(), "", variant, variant.resolution, COCO_NAMES, state))


def engine_of(
    model: RFDETRSeg,
    precision: torch.dtype,
    device: str = "cuda:0",
    threshold: float = EVERYTHING,
    resize: str = "plain",
    graphs: bool = True,
) -> Engine:
    """A warm engine that keeps what scores above ``threshold``, whatever its class."""
    thresholds = np.full(model.rows, threshold, np.float32)
    engine = Engine(model, torch.device(device), precision, thresholds, resize)
    if not graphs:
        pipeline_of(engine).replays = False
    engine.warm_up()
    return engine


def pipeline_of(engine: Engine) -> CudaPipeline:
    assert isinstance(engine._pipeline, CudaPipeline)
    return engine._pipeline


def through(engine: Engine, images: Sequence[Image]) -> list[Detections]:
    """The frames one after the other, with as many in flight as the engine takes."""
    found = []
    for image in images:
        if engine.in_flight == engine.depth:
            found.append(engine.harvest()[0])
        engine.submit(image)
    while engine.in_flight:
        found.append(engine.harvest()[0])
    return found


@contextmanager
def eagerly(engine: Engine) -> Iterator[None]:
    """Frames run without their graphs meanwhile."""
    pipeline = pipeline_of(engine)
    graphs = [slot.graphs for slot in pipeline._slots]
    replays, pipeline.replays = pipeline.replays, False
    for slot in pipeline._slots:
        slot.graphs = {}
    try:
        yield
    finally:
        pipeline.replays = replays
        for slot, own in zip(pipeline._slots, graphs, strict=True):
            slot.graphs = own


def unlike(found: Detections, expected: Detections) -> str | None:
    """Bit for bit, slot by slot."""
    if len(found) != len(expected):
        return f"{len(found)} detections, not {len(expected)}"
    for name in ("score", "class_id", "box", "mask_logits"):
        one, other = getattr(found, name), getattr(expected, name)
        if not np.array_equal(one, other):
            return f"{name} is off by up to {np.abs(one - other).max():.1e}"
    return None


def unlike_by_detections(
    found: Detections,
    expected: Detections,
    score: float = 0.05,
    box: float = 0.01,
    iou: float = 0.9,
    threshold: float = 0.5,
) -> str | None:
    """Every object of either side is on the other, which may have it in another slot.

    Both sides were asked for all scores above ``threshold - 2 * score``. ``box`` is a fraction of
    the frame's longer side, ``iou`` of masks at the frame's size.
    """
    for ours, theirs, side in ((found, expected, "more"), (expected, found, "less")):
        for number in np.flatnonzero(ours.score > threshold):
            one = ours[np.array([number])]
            same_class = theirs[theirs.class_id == one.class_id[0]]
            near = np.abs(same_class.box - one.box).max(1) < box * max(ours.frame_size)
            near &= np.abs(same_class.score - one.score) < score
            if not any(_iou(one, same_class[np.array([n])]) > iou for n in np.flatnonzero(near)):
                return f"one {side} of class row {one.class_id[0]} with score {one.score[0]:.3f}"
    return None


def _iou(one: Detections, other: Detections) -> float:
    a, b = (full_masks(side.mask_logits, side.frame_size)[0] for side in (one, other))
    return float((a & b).sum() / max((a | b).sum(), 1))


def replay_unlike_eager(engine: Engine, images: Sequence[Image]) -> str | None:
    """The frames in turn through both slots, two in flight, from graphs and without."""
    if not pipeline_of(engine).replays:
        return "there are no graphs: see the log"
    replayed = through(engine, images)
    with eagerly(engine):
        expected = through(engine, images)
    differences = map(unlike, replayed, expected)
    return next((difference for difference in differences if difference), None)


def swapped_weights_unlike_eager(engine: Engine, images: Sequence[Image]) -> str | None:
    """Other weights in the same memory, and the old ones again."""
    weights = dict(engine.model.named_parameters())
    saved = {name: tensor.clone() for name, tensor in weights.items()}
    before = through(engine, images)
    generator = torch.Generator().manual_seed(0)
    for tensor in weights.values():
        noise = torch.randn(tensor.shape, generator=generator)
        tensor.copy_(tensor * (1 + 0.05 * noise.to(tensor)))
    torch.cuda.synchronize(engine.device)
    changed, difference = through(engine, images), replay_unlike_eager(engine, images)
    for name, tensor in weights.items():
        tensor.copy_(saved[name])
    torch.cuda.synchronize(engine.device)
    if difference:
        return f"with other weights: {difference}"
    if not all(map(unlike, changed, before)):
        return "other weights change nothing"
    differences = map(unlike, through(engine, images), before)
    return next((f"swapped back: {difference}" for difference in differences if difference), None)


@contextmanager
def no_host_syncs() -> Iterator[None]:
    """What waits for the device, other than by an event, raises meanwhile."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def counters(engine: Engine) -> dict[str, int]:
    """How often memory was allocated so far, on the device and pinned, and how much is."""
    stats = torch.cuda.memory_stats(engine.device)
    counted = {name: stats[name] for name in DEVICE_COUNTERS}
    counted["memory_allocated"] = torch.cuda.memory_allocated(engine.device)
    of_host: dict[str, int] = getattr(torch.cuda.memory, "host_memory_stats", dict)()
    return counted | {name: of_host[name] for name in HOST_COUNTERS if name in of_host}


def moved_counters(engine: Engine, images: Sequence[Image], turns: int) -> str | None:
    before = counters(engine)
    for turn in range(0, turns, len(images)):
        through(engine, images[: turns - turn])
    after = counters(engine)
    moved = {name: after[name] - before[name] for name in before if after[name] != before[name]}
    return ", ".join(f"{name} by {by}" for name, by in moved.items()) or None


def unpinned(engine: Engine) -> list[str]:
    """The host's side of every copy that is not page-locked."""
    return [
        name
        for slot in pipeline_of(engine)._slots
        for name, value in vars(slot).items()
        if isinstance(value, Tensor) and value.device.type == "cpu" and not value.is_pinned()
    ]


class OtherThreads:
    """While the block runs, a thread pins memory, uses OpenCV and copies on a stream of its own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="other")
        self._working = threading.Event()
        self.rounds = 0
        self.failure: BaseException | None = None

    def __enter__(self) -> "OtherThreads":
        self._thread.start()
        assert self._working.wait(60), "the other thread does not get going"
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            stream = torch.cuda.Stream(self._device)
            picture = np.zeros((1080, 1920, 3), np.uint8)
            there = torch.empty(1 << 20, dtype=torch.uint8, device=self._device)
            while not self._stop.is_set():
                cv2.resize(picture, (640, 360))
                pinned = torch.zeros(1 << (16 + self.rounds % 5), dtype=torch.uint8).pin_memory()
                with torch.cuda.stream(stream):
                    there[: len(pinned)].copy_(pinned, non_blocking=True)
                    pinned.copy_(there[: len(pinned)], non_blocking=True)
                stream.synchronize()
                self.rounds += 1
                self._working.set()
        except BaseException as error:
            self.failure = error
            self._working.set()


def capture_beside_others(
    model: RFDETRSeg, precision: torch.dtype, images: Sequence[Image]
) -> str | None:
    """A new engine's graphs are captured while another thread uses CUDA and OpenCV."""
    others = OtherThreads(torch.device("cuda:0"))
    with others:
        engine = engine_of(model, precision)
        rounds = others.rounds
        difference = replay_unlike_eager(engine, images)
    if others.failure is not None:
        return f"the other thread failed: {first_line(others.failure)}"
    return difference if rounds else "the other thread did nothing meanwhile"


def run_short_of_memory(folder: Path, limit: int = 16 << 20) -> "subprocess.CompletedProcess[str]":
    """The daemon with the demo model, in a process that may have ``limit`` bytes of the device."""
    config = folder / "short-of-memory.yaml"
    config.write_text(CONFIG.format(folder=folder))
    return subprocess.run(
        [sys.executable, "-c", SHORT_OF_MEMORY, str(limit), str(config)],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
