"""Draws what was found onto a picture: tinted masks, outlines, boxes, labels with scores."""

import unicodedata
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from edge.detections import Detections
from edge.frame import Image
from edge.masks import MaskCrop, resize_masks

Colour = tuple[int, int, int]  # BGR

# Vivid, of middling lightness, neighbours far apart in hue: each is told from a white wall and from
# a night scene. A class keeps its colour for as long as it keeps its row in the checkpoint.
_PALETTE: tuple[Colour, ...] = (
    (60, 76, 231),  # red
    (219, 152, 52),  # blue
    (80, 200, 70),  # green
    (18, 156, 243),  # orange
    (200, 80, 160),  # purple
    (180, 190, 20),  # turquoise
    (30, 210, 230),  # yellow
    (170, 90, 240),  # pink
    (230, 110, 90),  # indigo
    (90, 170, 20),  # emerald
    (60, 110, 190),  # brown
    (230, 200, 90),  # sky
)
_TINT = 0.4
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_BLACK: Colour = (0, 0, 0)
_WHITE: Colour = (255, 255, 255)


def class_colour(class_id: int) -> Colour:
    """The colour of a class, BGR: the same in every picture of every camera."""
    return _PALETTE[class_id % len(_PALETTE)]


def annotate(
    frame_bgr: Image,
    detections: Detections,
    names: Sequence[str | None],
    track_ids: Sequence[int | None] = (),
) -> Image:
    """A new picture, uint8 BGR ``[H, W, 3]``, with the detections drawn on it.

    ``frame_bgr`` has the size that ``detections`` speak of, and is left as it is. ``names[row]``
    is the label of class row ``row``; ``track_ids``, where given, has the track of each detection,
    None for one without. As in the messages, a detection is left out whose row is unnamed (None or
    past the end), whose box or score is not finite, or whose mask is empty. Lines and text grow
    with the picture.
    """
    picture = frame_bgr.copy()
    named = [row < len(names) and names[row] is not None for row in detections.class_id.tolist()]
    finite = np.isfinite(detections.score) & np.isfinite(detections.box).all(axis=1)
    rows = np.flatnonzero(np.array(named, dtype=np.bool_) & finite)
    shown = detections[rows]
    masks = resize_masks(shown.mask_logits, detections.frame_size)
    areas = [int(np.count_nonzero(crop.mask)) for crop in masks]
    # Large things first, so that a small one in front of them stays visible.
    order = sorted((i for i, area in enumerate(areas) if area), key=lambda i: -areas[i])

    scale = min(picture.shape[:2]) / 360  # 1 at 640x360, 3 at 1920x1080
    line = max(1, round(1.7 * scale))
    for i in order:
        _tint(picture, masks[i], class_colour(int(shown.class_id[i])))
    for i in order:
        colour = class_colour(int(shown.class_id[i]))
        _outline(picture, masks[i], colour, line)
        _box(picture, shown.box[i], colour, max(1, line // 2))
    for i in order:
        class_id = int(shown.class_id[i])
        name = _drawable(str(names[class_id])) or f"class {class_id}"
        track_id = track_ids[rows[i]] if track_ids else None
        track = "" if track_id is None else f" #{track_id}"
        text = f"{name}{track} {shown.score[i]:.2f}"
        corner = int(shown.box[i][0]), int(shown.box[i][1])
        _label(picture, text, corner, class_colour(class_id), scale)
    return picture


def _tint(picture: Image, crop: MaskCrop, colour: Colour) -> None:
    height, width = crop.mask.shape
    region = picture[crop.y : crop.y + height, crop.x : crop.x + width]
    tinted = cv2.addWeighted(region, 1 - _TINT, np.full_like(region, colour), _TINT, 0)
    cv2.copyTo(tinted, crop.mask.astype(np.uint8), region)


def _outline(picture: Image, crop: MaskCrop, colour: Colour, line: int) -> None:
    """The mask's edge, holes too: the colour inside a dark rim, which a bright scene needs."""
    contours, _ = cv2.findContours(
        crop.mask.astype(np.uint8),
        cv2.RETR_CCOMP,
        cv2.CHAIN_APPROX_SIMPLE,
        offset=(crop.x, crop.y),
    )
    rim = (colour[0] // 4, colour[1] // 4, colour[2] // 4)
    cv2.polylines(picture, contours, True, rim, line + 2, cv2.LINE_AA)
    cv2.polylines(picture, contours, True, colour, line, cv2.LINE_AA)


def _box(picture: Image, box: npt.NDArray[np.float32], colour: Colour, line: int) -> None:
    x1, y1, x2, y2 = (round(float(side)) for side in box)
    cv2.rectangle(picture, (x1, y1), (x2 - 1, y2 - 1), colour, line)


def _label(
    picture: Image, text: str, corner: tuple[int, int], colour: Colour, scale: float
) -> None:
    """Text on a plate of the class's colour, above the corner, or inside where there is no room."""
    font_scale = max(0.4, 0.42 * scale)
    weight = max(1, round(scale))
    pad = max(2, round(3 * scale))
    (width, ascent), descent = cv2.getTextSize(text, _FONT, font_scale, weight)
    plate_width, plate_height = width + 2 * pad, ascent + descent + pad
    left = min(corner[0], picture.shape[1] - plate_width)
    left = max(left, 0)
    top = corner[1] - plate_height if corner[1] >= plate_height else corner[1]
    cv2.rectangle(
        picture, (left, top), (left + plate_width, top + plate_height), colour, cv2.FILLED
    )
    blue, green, red = colour
    bright = 0.114 * blue + 0.587 * green + 0.299 * red > 140
    baseline = (left + pad, top + pad // 2 + ascent)
    ink = _BLACK if bright else _WHITE
    cv2.putText(picture, text, baseline, _FONT, font_scale, ink, weight, cv2.LINE_AA)


def _drawable(name: str) -> str:
    """The name in ASCII, all that OpenCV's stroke font has: accents go, the rest is ``?``."""
    plain = unicodedata.normalize("NFKD", name)
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    text = "".join(letter if " " <= letter <= "~" else "?" for letter in plain)
    return text if text.strip(" ?") else ""
