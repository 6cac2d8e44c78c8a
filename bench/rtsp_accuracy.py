"""Recall, precision and mask IoU over a real RTSP stream, against the synthetic camera's truth.

    python bench/rtsp_accuracy.py [--codec h264] [--transport tcp]

Plays 300 pictures of 20 scenes that the demo model was not trained on (one picture per second of
each) in H.264 or H.265 from a real server, through the same source, engine and summary as the
daemon. An object is found when label and mask (IoU >= 0.5) are right; objects of which too little
is visible are neither asked for nor wrong.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from rtsp_server import RtspServer, encoded

from edge.automodel import AutoModel
from edge.capture.address import RtspAddress
from edge.capture.shapes import ShapesCamera
from edge.capture.source import open_source
from edge.config import CameraSettings
from edge.masks import full_masks

SCENES = range(9600, 9620)
PICTURES_PER_SCENE = 15
FPS = 5


def truth() -> list:
    """Every picture of the clip with its true objects."""
    clip = []
    for seed in SCENES:
        camera = ShapesCamera(seed, min_size=40)
        clip += [camera.frame(n * 15) for n in range(PICTURES_PER_SCENE)]
    return clip


def judge(found: list[tuple[str, np.ndarray]], objects: list) -> tuple[int, int, int, list[float]]:
    """(right, wrong, missed, mask IoUs of the right ones) of one picture; best scores first."""
    left = list(objects)
    right, wrong, ious = 0, 0, []
    for label, mask in found:
        best, best_iou = None, 0.5
        for true in left:
            iou = (mask & true.mask).sum() / (mask | true.mask).sum()
            if true.label == label and iou >= best_iou:
                best, best_iou = true, iou
        if best is None:
            wrong += 1
            continue
        left.remove(best)
        if not best.ignore:
            right += 1
            ious.append(float(best_iou))
    return right, wrong, sum(not true.ignore for true in left), ious


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--codec", default="h264", choices=["h264", "h265"])
    parser.add_argument("--transport", default="tcp", choices=["tcp", "udp"])
    parser.add_argument("--confidence", type=float, default=0.45)
    options = parser.parse_args()

    clip = truth()
    model = AutoModel.from_pretrained(
        "rfdetr-seg-demo", device="cpu", confidence=options.confidence
    )

    def detect(image: np.ndarray) -> list[tuple[str, np.ndarray]]:
        detections, _ = model.detect(image)
        masks = full_masks(detections.mask_logits, detections.frame_size)
        return [
            (model.names[row], mask)
            for row, mask in zip(detections.class_id, masks, strict=True)
            if model.names[row] is not None
        ]

    report("unencoded frames", [judge(detect(shot.image), shot.objects) for shot in clip])

    with tempfile.TemporaryDirectory() as folder:
        for number, shot in enumerate(clip):
            cv2.imwrite(f"{folder}/{number:05d}.png", shot.image)
        pipeline = (
            f"multifilesrc location={folder}/%05d.png start-index=0 stop-index={len(clip) - 1}"
            f" loop=true caps=image/png,framerate={FPS}/1 ! pngdec ! videoconvert"
            f" ! identity sync=true {encoded(options.codec, gop=FPS)}"
        )
        with RtspServer({"cam": pipeline}) as server:
            settings = CameraSettings.model_construct(
                id="dock",
                source=RtspAddress(server.url("cam")),
                transport=options.transport,
                decoder="auto",
                open_timeout_s=10,
                read_timeout_s=10,
            )
            source = open_source(settings, 0, time.sleep)
            source.open()
            images = []
            while len(images) < len(clip):
                source.grab()
                images.append(source.retrieve())
            source.close()
    # A stream is joined anywhere; from there on its pictures come in order.
    thumbs = [cv2.resize(shot.image, (32, 18)).astype(int) for shot in clip]
    offset = int(
        np.argmin([abs(cv2.resize(images[0], (32, 18)) - thumb).sum() for thumb in thumbs])
    )
    matched = [clip[(number + offset) % len(clip)] for number in range(len(images))]
    judged = [judge(detect(i), shot.objects) for i, shot in zip(images, matched, strict=True)]
    report(f"RTSP, {options.codec}, {options.transport}", judged)


def report(name: str, judged: list[tuple[int, int, int, list[float]]]) -> None:
    right, wrong, missed = (sum(column) for column in list(zip(*judged, strict=True))[:3])
    ious = [iou for _, _, _, picture in judged for iou in picture]
    print(
        f"{name}: {len(judged)} pictures, {right + missed} objects,"
        f" recall {right / (right + missed):.3f}, precision {right / (right + wrong):.3f},"
        f" mean mask IoU {np.mean(ious):.3f}"
    )


if __name__ == "__main__":
    main()
