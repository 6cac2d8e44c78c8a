"""What a subscriber learns of each object: label, box, and the size and place of its mask."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from edge.detections import Detections
from edge.mask_runs import MaskRuns, mask_runs


@dataclass(frozen=True, slots=True)
class ObjectSummary:
    """One object of one frame. Lengths are in pixels of the source frame.

    ``box`` is the network's (x1, y1, x2, y2). ``area_px``, ``area_fraction`` (of the frame) and
    ``centroid`` (x, y: mean pixel index + 0.5) are of the full-resolution mask. ``detection`` is
    the object's row in the frame's detections. ``track_id`` (None: no confirmed track) and the ids
    of the ``zones`` that it is in come from what was seen before.
    """

    label: str
    class_id: int
    score: float
    box: tuple[float, float, float, float]
    area_px: int
    area_fraction: float
    centroid: tuple[float, float]
    detection: int
    track_id: int | None = None
    zones: tuple[str, ...] = ()


class Summary(NamedTuple):
    """The objects of a frame, largest mask first, and their masks.

    The objects of ``masks`` are the rows of the frame's detections (``ObjectSummary.detection``);
    a row that was left out has an empty mask there or one of no object.
    """

    objects: list[ObjectSummary]
    masks: MaskRuns


def summarise(
    detections: Detections,
    names: Sequence[str | None],
    classes: Set[str] | None = None,
    min_area_fraction: float = 0.0,
) -> Summary:
    """What there is in a frame.

    ``names[row]`` is the label of class row ``row``; rows that are None or past the end are
    unnamed, and their objects are left out. So are labels outside ``classes`` (None: all are in),
    boxes and scores that are not finite, empty masks, and masks below ``min_area_fraction`` of
    the frame. Masks are computed only for what is left after the first three rules.
    """
    wanted = [
        row < len(names)
        and (name := names[row]) is not None
        and (classes is None or name in classes)
        for row in detections.class_id.tolist()
    ]
    finite = np.isfinite(detections.score) & np.isfinite(detections.box).all(axis=1)
    rows = np.flatnonzero(np.array(wanted, dtype=np.bool_) & finite)
    kept = detections[rows]

    height, width = kept.frame_size
    objects = []
    masks = mask_runs(kept.mask_logits, kept.frame_size)
    areas, centroids = masks.moments()
    for i, (area_px, (x, y)) in enumerate(zip(areas.tolist(), centroids.tolist(), strict=True)):
        area_fraction = area_px / (height * width)
        if area_px == 0 or area_fraction < min_area_fraction:
            continue
        class_id = int(kept.class_id[i])
        x1, y1, x2, y2 = kept.box[i].tolist()
        objects.append(
            ObjectSummary(
                label=str(names[class_id]),
                class_id=class_id,
                score=float(kept.score[i]),
                box=(x1, y1, x2, y2),
                area_px=area_px,
                area_fraction=area_fraction,
                centroid=(x, y),
                detection=int(rows[i]),
            )
        )
    # Whatever order the network gave equal areas in, the message has one order.
    objects.sort(key=lambda o: (-o.area_px, -o.score, o.box, o.class_id))
    return Summary(objects, replace(masks, count=len(detections), index=rows[masks.index]))
