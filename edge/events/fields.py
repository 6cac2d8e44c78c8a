"""What frame and event messages have in common: their fields, and how they become bytes."""

import json
import re
from typing import Any

from edge.events.summary import ObjectSummary
from edge.frame import Frame, FrameHeader

# Only a message without room for its own header has its names cut to this (bytes of JSON).
_SHORTEST_NAME = 30
_SURROGATES = re.compile("[\ud800-\udfff]")
_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def encode(value: object) -> bytes:
    """Compact UTF-8 JSON."""
    return _json.encode(value).encode()


def text(name: str) -> str:
    """The name as UTF-8 can carry it: a lone surrogate becomes U+FFFD."""
    return _SURROGATES.sub("\ufffd", name)


def cut(name: str) -> str:
    """The start of a name that has 30 bytes of JSON at most."""
    name = name[:_SHORTEST_NAME]
    while len(encode(name)) - len('""') > _SHORTEST_NAME:
        name = name[:-1]
    return name


def time_fields(frame: Frame | FrameHeader) -> dict[str, object]:
    captured_at = frame.captured_at
    return {
        "capture": captured_at.rfc3339(),
        "uptime_s": round(captured_at.uptime_s, 3),
        "clock_synced": captured_at.synced,
    }


def latency_fields(
    frame: Frame | FrameHeader,
    infer_started_uptime_s: float,
    infer_ms: float,
    now_uptime_s: float,
) -> dict[str, float]:
    captured_s = frame.captured_at.uptime_s
    return {
        "capture_to_infer": _ms(1000 * (infer_started_uptime_s - captured_s)),
        "infer": _ms(infer_ms),
        "capture_to_publish": _ms(1000 * (now_uptime_s - captured_s)),
    }


def frame_fields(frame: Frame | FrameHeader) -> dict[str, int]:
    height, width = frame.size
    return {"id": frame.id, "width": width, "height": height}


def object_fields(seen: ObjectSummary, size: tuple[int, int]) -> dict[str, Any]:
    """One object; ``size`` is (height, width) of its frame."""
    height, width = size
    limits = (width, height, width, height)
    return {
        "track_id": seen.track_id,
        "label": text(seen.label),
        "class_id": seen.class_id,
        "score": round(seen.score, 3),
        "bbox": [
            min(max(0.0, round(edge, 1)), float(limit))
            for edge, limit in zip(seen.box, limits, strict=True)
        ],
        "area_px": seen.area_px,
        "area_fraction": round(seen.area_fraction, 5),
        "centroid": [round(position, 1) for position in seen.centroid],
        "zones": list(seen.zones),
    }


def _ms(latency_ms: float) -> float:
    # A video file's own time may run ahead of the clock; no latency is below 0.
    return max(0.0, round(latency_ms, 1))
