"""The schema of the frame message takes what it should, and refuses each wrong message."""

import copy
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from edge.events.schema import load

SCHEMA = load("frame-1")
VALIDATOR = Draft202012Validator(SCHEMA)
REMOVED = object()
RING = [[0, 0], [10.5, 0], [10.5, 8]]

MESSAGE: dict[str, Any] = {
    "schema": "rfdetr-edge.frame/1",
    "session": "8f3c2a10",
    "seq": 1931,
    "node": "dock-7",
    "camera": "dock",
    "model": "rfdetr-seg-preview",
    "time": {"capture": "2026-11-22T06:31:14.218Z", "uptime_s": 81233.123, "clock_synced": True},
    "latency_ms": {"capture_to_infer": 3.1, "infer": 18.9, "capture_to_publish": 24.0},
    "frame": {"id": 88123, "width": 1920, "height": 1080},
    "counts": {"person": 1},
    "objects": [
        {
            "track_id": 42,
            "label": "person",
            "class_id": 1,
            "score": 0.914,
            "bbox": [612.0, 210.0, 861.0, 810.0],
            "area_px": 120606,
            "area_fraction": 0.05816,
            "centroid": [733.1, 512.4],
            "zones": ["bay"],
        }
    ],
    "truncated": 0,
}


def changed(path: str, value: object) -> dict[str, Any]:
    message = copy.deepcopy(MESSAGE)
    *way, last = path.split(".")
    at: Any = message
    for key in way:
        at = at[int(key)] if isinstance(at, list) else at[key]
    if value is REMOVED:
        del at[last]
    elif isinstance(at, list):
        at[int(last)] = value
    else:
        at[last] = value
    return message


def required_paths(schema: dict[str, Any], prefix: str = "") -> list[str]:
    paths = []
    for key in schema.get("required", []):
        paths.append(prefix + key)
        paths += required_paths(schema["properties"][key], f"{prefix}{key}.")
    return paths


def test_the_schema_is_a_schema_and_the_contracts_message_obeys_it() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    VALIDATOR.validate(MESSAGE)


def test_an_unknown_schema_is_not_found() -> None:
    with pytest.raises(FileNotFoundError):
        load("frame-0")


@pytest.mark.parametrize(
    "path",
    required_paths(SCHEMA)
    + [f"objects.0.{path}" for path in required_paths(SCHEMA["$defs"]["object"])],
)
def test_every_key_is_required(path: str) -> None:
    assert not VALIDATOR.is_valid(changed(path, REMOVED))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("new", 1),
        ("time.new", "x"),
        ("latency_ms.new", None),
        ("frame.new", []),
        ("objects.0.new", {}),
        ("objects.0.track_id", None),
        ("objects.0.track_id", 1),
        ("objects.0.label", ""),
        ("objects.0.label", "größe \u2028"),
        ("objects.0.zones", []),
        ("objects.0.zones", ["bay", "gate-2"]),
        ("objects", []),
        ("counts", {}),
        ("counts_truncated", 3),
        ("objects.0.polygon", [{"outer": RING, "holes": []}]),
        (
            "objects.0.polygon",
            [{"outer": RING, "holes": [RING, RING]}, {"outer": RING, "holes": []}],
        ),
        ("objects.0.rle", {"size": [108, 108], "counts": "PPYo1"}),
        ("time.clock_synced", False),
        ("seq", 1),
        ("frame.id", 0),
    ],
)
def test_right_messages_are_taken(path: str, value: object) -> None:
    VALIDATOR.validate(changed(path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema", "rfdetr-edge.frame/2"),
        ("session", "8F3C2A10"),
        ("session", "8f3c2a1"),
        ("session", "8f3c2a100"),
        ("seq", 0),
        ("seq", 1.5),
        ("seq", "1"),
        ("seq", True),
        ("node", "Dock 7"),
        ("node", ""),
        ("camera", "dock/7"),
        ("camera", None),
        ("model", ""),
        ("model", None),
        ("time", "2026-11-22T06:31:14.218Z"),
        ("time.capture", "2026-11-22T06:31:14Z"),
        ("time.capture", "2026-11-22T06:31:14.218+00:00"),
        ("time.capture", "2026-11-22 06:31:14.218Z"),
        ("time.capture", "2026-13-22T06:31:14.218Z"),
        ("time.capture", "2026-11-32T06:31:14.218Z"),
        ("time.capture", "2026-11-22T24:31:14.218Z"),
        ("time.capture", 1795329074.218),
        ("time.uptime_s", -0.001),
        ("time.uptime_s", "81233"),
        ("time.clock_synced", 1),
        ("time.clock_synced", None),
        ("latency_ms", 3.1),
        ("latency_ms.capture_to_infer", -0.1),
        ("latency_ms.infer", -0.1),
        ("latency_ms.infer", None),
        ("latency_ms.capture_to_publish", -0.1),
        ("frame", 88123),
        ("frame.id", -1),
        ("frame.id", 0.5),
        ("frame.width", 0),
        ("frame.height", 0),
        ("frame.height", 1080.5),
        ("counts", []),
        ("counts.person", 0),
        ("counts.person", 1.5),
        ("counts_truncated", 0),
        ("truncated", -1),
        ("truncated", None),
        ("objects", {}),
        ("objects.0", "person"),
        ("objects.0.track_id", 0),
        ("objects.0.track_id", "42"),
        ("objects.0.label", None),
        ("objects.0.class_id", -1),
        ("objects.0.class_id", 1.5),
        ("objects.0.score", -0.001),
        ("objects.0.score", 1.001),
        ("objects.0.bbox", [0, 0, 1]),
        ("objects.0.bbox", [0, 0, 1, 1, 1]),
        ("objects.0.bbox", {"x": 0}),
        ("objects.0.bbox.0", -0.1),
        ("objects.0.bbox.1", -0.1),
        ("objects.0.bbox.2", -0.1),
        ("objects.0.bbox.3", "810"),
        ("objects.0.area_px", 0),
        ("objects.0.area_px", 0.5),
        ("objects.0.area_fraction", -0.1),
        ("objects.0.area_fraction", 1.1),
        ("objects.0.centroid", [1]),
        ("objects.0.centroid", [1, 2, 3]),
        ("objects.0.centroid.0", -1),
        ("objects.0.centroid.1", -1),
        ("objects.0.zones", None),
        ("objects.0.zones", ["bay", "bay"]),
        ("objects.0.zones", ["the bay"]),
        ("objects.0.zones", [1]),
        ("objects.0.polygon", []),
        ("objects.0.polygon", [RING]),
        ("objects.0.polygon", [{"outer": RING}]),
        ("objects.0.polygon", [{"holes": []}]),
        ("objects.0.polygon", [{"outer": RING[:2], "holes": []}]),
        ("objects.0.polygon", [{"outer": RING, "holes": [RING[:2]]}]),
        ("objects.0.polygon", [{"outer": RING, "holes": RING}]),
        ("objects.0.polygon", [{"outer": [[0, 0, 0], *RING], "holes": []}]),
        ("objects.0.polygon", [{"outer": [[0], *RING], "holes": []}]),
        ("objects.0.polygon", [{"outer": [[-1, 0], *RING], "holes": []}]),
        ("objects.0.rle", "PPYo1"),
        ("objects.0.rle", {"size": [108, 108]}),
        ("objects.0.rle", {"counts": "PPYo1"}),
        ("objects.0.rle", {"size": [108], "counts": "PPYo1"}),
        ("objects.0.rle", {"size": [108, 108, 3], "counts": "PPYo1"}),
        ("objects.0.rle", {"size": [0, 108], "counts": "PPYo1"}),
        ("objects.0.rle", {"size": [108, 0], "counts": "PPYo1"}),
        ("objects.0.rle", {"size": [108, 108], "counts": ""}),
        ("objects.0.rle", {"size": [108, 108], "counts": [1, 2]}),
    ],
)
def test_wrong_messages_are_refused(path: str, value: object) -> None:
    assert not VALIDATOR.is_valid(changed(path, value))


def test_the_list_of_messages_is_refused() -> None:
    assert not VALIDATOR.is_valid([MESSAGE])


def test_what_both_schemas_define_they_define_alike():
    """Each stands by itself, for validators with one file; so these are written twice."""
    frame, event = SCHEMA["$defs"], load("event-1")["$defs"]
    assert frame == {name: event[name] for name in frame}
