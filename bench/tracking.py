"""Our tracker beside supervision's ByteTrack on the same detections, against the synthetic truth.

    python bench/tracking.py [--scenes 9900 9912] [--seconds 30] [--processes 2]
    python bench/tracking.py --times

Scenes that neither was the demo model trained on nor the tracker tuned on (that was 9700 to 9711),
each with 8 objects of 40 to 160 px in 640 x 360 that cross and hide each other. The demo model
finds them with the daemon's default settings (confidence 0.5, all classes) in every frame of 30
frames/s; 15 and 5 frames/s are every second and every sixth of these. All trackers are given the
same objects. One counts as found where its official full-resolution mask and the true one have an
intersection over union of 0.5 or more; true objects of which too little is visible are neither
asked for nor wrong. Ours runs as the daemon does, with confirm_frames 3 and lost_after_s 2.0;
ByteTrack is told the frame rate, the same 3 frames and 2 seconds, and once is left at its defaults.
The second table is the same with every object missed at random, with a chance of 15 %.

``--times`` measures an update instead: 20, 50 and 100 objects that move about, on grids of 54, 108
and 192 cells a side.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import supervision as sv
import torch
from tracking_metrics import JudgedFrame, TrackingScore, score

from edge.automodel import AutoModel
from edge.bench.objects import blobs
from edge.capture.shapes import ShapesCamera
from edge.events.summary import ObjectSummary, summarise
from edge.events.tracking import Tracker
from edge.masks import full_masks

FPS = 30
RATES = (5, 15, 30)
SIZE = (360, 640)
CONFIRM_FRAMES, LOST_AFTER_S = 3, 2.0
CONFIDENCE = 0.5
MISSED = 0.15

Ids = list[int | None]
Floats = npt.NDArray[np.float64]


class SeenFrame(NamedTuple):
    """What was found in a frame, what was there, and how they overlap: ``iou`` ``[P, N]``."""

    objects: list[ObjectSummary]
    masks: npt.NDArray[
        np.bool_
    ]  # [N, m, m], on the model's grid: all that a tracker reads of logits
    truth: list[int]
    ignore: list[bool]
    iou: Floats


def watch(seconds: float, seed: int) -> list[SeenFrame]:
    """The demo model's objects in one scene, and the truth."""
    torch.set_num_threads(1)
    camera = ShapesCamera(seed, SIZE[1], SIZE[0], fps=FPS, objects=8, min_size=40)
    model = AutoModel.from_pretrained("rfdetr-seg-demo", device="cpu", confidence=CONFIDENCE)
    frames = []
    for number in range(round(seconds * FPS)):
        shot = camera.frame(number)
        detections, _ = model.detect(shot.image)
        objects = summarise(detections, model.names).objects
        logits = detections.mask_logits[[seen.detection for seen in objects]]
        masks = full_masks(logits, SIZE)
        iou = [[mask_iou(true.mask, mask) for mask in masks] for true in shot.objects]
        frames.append(
            SeenFrame(
                objects,
                logits > 0,
                [true.id for true in shot.objects],
                [true.ignore for true in shot.objects],
                np.array(iou, np.float64).reshape(len(shot.objects), len(objects)),
            )
        )
    return frames


def mask_iou(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    both = np.count_nonzero(a & b)
    return both / (np.count_nonzero(a) + np.count_nonzero(b) - both)


def missing_some(frames: Sequence[SeenFrame], chance: float, seed: int) -> list[SeenFrame]:
    """The same frames without some of their objects."""
    random = np.random.default_rng(seed)
    result = []
    for frame in frames:
        kept = np.flatnonzero(random.random(len(frame.objects)) >= chance)
        objects = [frame.objects[n] for n in kept]
        result.append(
            frame._replace(objects=objects, masks=frame.masks[kept], iou=frame.iou[:, kept])
        )
    return result


def ours(frames: Sequence[SeenFrame], fps: float) -> Iterator[Ids]:
    tracker = Tracker(CONFIRM_FRAMES, LOST_AFTER_S)
    for number, frame in enumerate(frames):
        logits = np.where(frame.masks, np.float32(1), np.float32(-1))
        tracked = tracker.update(frame.objects, logits, SIZE, number / fps)
        yield [None if track is None else track.id for track in tracked.tracks]


def byte_track(frames: Sequence[SeenFrame], fps: float, *, defaults: bool) -> Iterator[Ids]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # it is to move to another package
        tracker = (
            sv.ByteTrack()
            if defaults
            else sv.ByteTrack(
                frame_rate=fps,
                lost_track_buffer=round(30 * LOST_AFTER_S),  # it counts this in 1/30 s
                minimum_consecutive_frames=CONFIRM_FRAMES,
            )
        )
    for frame in frames:
        found = sv.Detections(
            xyxy=np.array([seen.box for seen in frame.objects], np.float32).reshape(-1, 4),
            confidence=np.array([seen.score for seen in frame.objects], np.float32),
            class_id=np.array([seen.class_id for seen in frame.objects], int),
            data={"row": np.arange(len(frame.objects))},
        )
        tracked = tracker.update_with_detections(found)
        ids: Ids = [None] * len(frame.objects)
        if len(tracked):
            for row, track_id in zip(tracked.data["row"], tracked.tracker_id, strict=True):
                ids[row] = int(track_id)
        yield ids


TRACKERS: dict[str, Callable[[Sequence[SeenFrame], float], Iterator[Ids]]] = {
    "ours": ours,
    "ByteTrack, same settings": partial(byte_track, defaults=False),
    "ByteTrack, its defaults": partial(byte_track, defaults=True),
}


def judge(name: str, videos: dict[int, list[SeenFrame]], fps: int, missed: float) -> TrackingScore:
    total = TrackingScore()
    for seed, every_frame in videos.items():
        frames = missing_some(every_frame[:: FPS // fps], missed, seed)
        ids = TRACKERS[name](frames, fps)
        total += score(
            JudgedFrame(frame.truth, frame.ignore, track_ids, frame.iou)
            for frame, track_ids in zip(frames, ids, strict=True)
        )
    return total


def compare(videos: dict[int, list[SeenFrame]]) -> None:
    for missed in (0, MISSED):
        print(f"\n{missed:.0%} of the objects removed at random\n")
        print("| frames/s | tracker | IDF1 | IDSW | FM | recall | precision |")
        print("|---|---|---|---|---|---|---|")
        for fps in RATES:
            for name in TRACKERS:
                s = judge(name, videos, fps, missed)
                print(
                    f"| {fps} | {name} | {s.idf1:.3f} | {s.switches} | {s.fragmentations}"
                    f" | {s.recall:.3f} | {s.precision:.3f} |",
                    flush=True,
                )


def print_times() -> None:
    """ms an update, median (least), of objects that go round in small circles."""
    grids = (54, 108, 192)
    print("| objects |" + "".join(f" {grid} x {grid} |" for grid in grids))
    print("|---|" + "---|" * len(grids))
    for count in (20, 50, 100):
        cells = []
        for grid in grids:
            logits, boxes = blobs(count, grid, seed=0)
            tracker, times = Tracker(CONFIRM_FRAMES, LOST_AFTER_S), []
            for turn in range(110):
                shift = np.round(2 * np.array([np.cos(turn / 9), np.sin(turn / 9)])).astype(int)
                objects = moved_objects(boxes, shift / grid)
                masks = np.roll(logits, tuple(shift[::-1]), axis=(1, 2))
                start = time.perf_counter()
                tracker.update(objects, masks, SIZE, turn / 15)
                times.append(1000 * (time.perf_counter() - start))
            times = times[10:]
            cells.append(f" {statistics.median(times):.2f} ({min(times):.2f}) |")
        print(f"| {count} |" + "".join(cells), flush=True)


def moved_objects(boxes: npt.NDArray[np.float32], by: Floats) -> list[ObjectSummary]:
    middles, sides = boxes[:, :2] + by, boxes[:, 2:]
    corners = np.concatenate([middles - sides / 2, middles + sides / 2], axis=1)
    pixels = np.clip(corners, 0, 1) * (SIZE[1], SIZE[0], SIZE[1], SIZE[0])
    return [
        ObjectSummary("blob", n % 4, 0.9, tuple(box), 1, 0.0, (0.0, 0.0), n)
        for n, box in enumerate(pixels.tolist())
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, nargs=2, default=(9900, 9912), metavar=("FROM", "TO"))
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--times", action="store_true", help="measure the tracker's own time")
    options = parser.parse_args()
    if options.times:
        print_times()
        return
    seeds = range(*options.scenes)
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        videos = dict(zip(seeds, pool.map(partial(watch, options.seconds), seeds), strict=True))
    found = sum(len(frame.objects) for video in videos.values() for frame in video)
    print(f"{len(videos)} scenes of {options.seconds:g} s at {FPS} frames/s, {found} objects found")
    compare(videos)


if __name__ == "__main__":
    main()
