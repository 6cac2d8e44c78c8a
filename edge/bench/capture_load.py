"""What a camera that is being decoded costs the forward beside it."""

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from edge.bench.options import BenchError
from edge.bench.scene import Footage
from edge.bench.subject import CAMERA, Subject
from edge.bench.timing import Spread, rounds, spread
from edge.capture.address import FileAddress
from edge.capture.camera import Camera
from edge.capture.slot import FrameSlot
from edge.frame import Frame
from edge.metrics import Metrics
from edge.process import thread_cpu_ns

STARTED_S = 10.0
_TASKS = Path("/proc/self/task")


@dataclass(frozen=True, slots=True)
class CaptureLoad:
    """The forward with and without one capture thread, in turns.

    ``slower_percent`` is the median over the rounds; ``decoder_core_percent`` the processor time
    of the capture thread and of FFmpeg's own threads, as a share of one core;
    ``decoder_machine_percent`` as a share of all usable cores.
    """

    without: Spread
    with_capture: Spread
    slower_percent: float
    decoder_core_percent: float
    decoder_machine_percent: float
    capture_fps: float


def measure_capture_load(subject: Subject, footage: Footage, turns: int) -> CaptureLoad:
    """Rounds of the forward alone, then beside the daemon's camera on a paced, looped file.

    Raises ``BenchError`` where that camera delivers nothing.
    """
    image = footage.frames[0]
    settings = subject.config.cameras[0].model_copy(
        update={"id": CAMERA, "source": FileAddress(footage.clip, loop=True)}
    )
    alone: list[float] = []
    beside: list[float] = []
    slower: list[float] = []
    used_s = wall_s = 0.0
    captured = 0
    for length in rounds(turns):
        before = [subject.run(image).forward for _ in range(length)]
        slot = _Counting()
        tasks = set(os.listdir(_TASKS))
        camera = Camera(settings, slot, Metrics(), subject.clock)
        camera.start()
        try:
            if not slot.first.wait(STARTED_S):
                raise BenchError(camera.reason or "the capture thread delivers no frame")
            decoding = set(os.listdir(_TASKS)) - tasks
            frames, start, start_ns = slot.frames, time.perf_counter(), _cpu_ns(decoding)
            after = [subject.run(image).forward for _ in range(length)]
            used_s += (_cpu_ns(decoding) - start_ns) / 1e9
            wall_s += time.perf_counter() - start
            captured += slot.frames - frames
        finally:
            camera.stop()
            camera.join(STARTED_S)
        alone += before
        beside += after
        slower.append(median(after) / median(before) - 1)
    share = used_s / wall_s
    return CaptureLoad(
        spread(alone),
        spread(beside),
        100 * median(slower),
        100 * share,
        100 * share / len(os.sched_getaffinity(0)),
        captured / wall_s,
    )


class _Counting(FrameSlot):
    """A slot that nobody empties, as while the loop is busy; it counts what arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.frames = 0
        self.first = threading.Event()

    def put(self, frame: Frame) -> Frame | None:
        self.frames += 1
        self.first.set()
        return super().put(frame)


def _cpu_ns(tasks: set[str]) -> int:
    return sum(thread_cpu_ns(int(task)) for task in tasks)
