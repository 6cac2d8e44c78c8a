"""Outlines of masks for messages, from the logits on the mask grid: polygons and COCO's RLE."""

from typing import Literal, TypedDict

import cv2
import numpy as np

from edge.bilinear import Floats, Indices
from edge.events.outlines import Outlines
from edge.events.simplify import Line, simplified

# A simplified line stays this share of the mask's area over its outline's length away at most. All
# that it can move then is this share of the mask.
_TOLERANCE = 1 / 20
_MOST_RINGS = 64  # of an object, the largest: what has more is noise

Ring = list[list[float]]


class Part(TypedDict):
    """A connected part of a mask; rings are points (x, y) in pixels of the source frame."""

    outer: Ring
    holes: list[Ring]


class Rle(TypedDict):
    """COCO's compressed run lengths on a grid of ``size`` [rows, columns]."""

    size: list[int]
    counts: str


def geometry(
    mask_logits: Floats, size: tuple[int, int], kind: Literal["none", "polygon", "rle", "both"]
) -> list[dict[str, object]]:
    """What the configured kind of geometry adds to each of K objects of a message.

    ``mask_logits`` float32 ``[K, m, n]`` on the mask grid; ``size`` (height, width) of the frame.
    """
    added: list[dict[str, object]] = [{} for _ in mask_logits]
    if kind in {"polygon", "both"}:
        for keys, parts in zip(added, polygons(mask_logits, size), strict=True):
            if parts:
                keys["polygon"] = parts
    if kind in {"rle", "both"}:
        for keys, logits in zip(added, mask_logits, strict=True):
            keys["rle"] = grid_rle(logits)
    return added


def grid_rle(mask_logits: Floats) -> Rle:
    """The mask of one object on its own grid: where float32 ``[m, n]`` is above 0."""
    mask = (mask_logits > 0).T.reshape(-1)  # column after column
    ends = np.flatnonzero(mask[1:] != mask[:-1]) + 1
    counts = np.diff(ends, prepend=0, append=len(mask))
    if mask[0]:  # the first run is of zeros
        counts = np.insert(counts, 0, 0)
    counts[3:] -= counts[1:-2].copy()
    # Each number in groups of 5 bits, lowest first, as many as its sign and value need; bit 5 says
    # that another follows, and 48 makes it a character.
    shift = 5 * np.arange(7)
    groups = counts[:, None] >> shift
    more = (np.where(groups < 0, ~groups, groups) >> 4) != 0
    characters = (groups & 31) + 32 * more + 48
    used = np.column_stack([np.ones(len(counts), dtype=np.bool_), more[:, :-1]])
    return {
        "size": list(mask_logits.shape),
        "counts": characters[used].astype(np.uint8).tobytes().decode("ascii"),
    }


def polygons(mask_logits: Floats, size: tuple[int, int]) -> list[list[Part]]:
    """The outlines of K masks, each an entry per part, largest first.

    ``mask_logits`` float32 ``[K, m, n]`` on the mask grid; ``size`` (height, width) of the frame
    in pixels. Outlines are simplified, with an intersection over union of 0.95 at least; their
    coordinates have one decimal. Outer rings go round against the clock as one sees them, holes
    with it. Parts and holes far thinner than the mask as a whole are left out (within the 0.95),
    and all but the 64 largest.

    A mask without a positive cell has no parts, nor has one too thin to have an area.
    """
    outlines = Outlines.of(mask_logits, size)
    bounds = np.searchsorted(outlines.index, np.arange(len(mask_logits) + 1))
    shown, tolerances = [], []
    for k in range(len(mask_logits)):
        of_object, tolerance = _shown(outlines, *bounds[k : k + 2])
        shown += of_object.tolist()
        tolerances += [tolerance] * len(of_object)
    lines = [outlines.line(r) for r in shown]
    objects = outlines.index[shown]
    rings = simplified(lines, tolerances, objects)
    nested: list[list[tuple[Line, Part]]] = [[] for _ in mask_logits]
    for k, r, line, tenths in zip(objects.tolist(), shown, lines, rings, strict=True):
        ring: Ring = (tenths / 10).tolist()
        outers = nested[k]
        if outlines.area[r] > 0:
            outers.append((line, {"outer": ring, "holes": []}))
            continue
        # What a hole is in is larger than the hole; the smallest such outer ring has it.
        for outer, part in reversed(outers):
            if len(outers) == 1 or cv2.pointPolygonTest(outer, line[0].tolist(), False) > 0:
                part["holes"].append(ring)
                break
    return [[part for _, part in outers] for outers in nested]


def _shown(outlines: Outlines, start: int, stop: int) -> tuple[Indices, float]:
    """Which of an object's rings are shown, largest first, and how far they may be simplified."""
    area, length = outlines.area[start:stop], outlines.length[start:stop]
    if not area.sum() > 0:
        return np.zeros(0, dtype=np.intp), 0.0
    tolerance = float(_TOLERANCE * area.sum() / length.sum())
    largest = np.argsort(-np.abs(area), kind="stable")[:_MOST_RINGS]
    return start + largest[np.abs(area[largest]) > tolerance * length[largest]], tolerance
