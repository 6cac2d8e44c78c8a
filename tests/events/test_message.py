"""Frame messages: their content, their byte budget, and that every one obeys the schema."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from edge.clock import Timestamp
from edge.events.message import FrameMessageBuilder
from edge.events.schema import load
from edge.events.summary import ObjectSummary
from edge.frame import Frame

HD = (1080, 1920)
VALIDATOR = Draft202012Validator(load("frame-1"))


def frame(camera: str = "dock", id: int = 88123, size: tuple[int, int] = HD) -> Frame:
    captured_at = Timestamp(1795329074.218, 81233.1234, True)
    return Frame(camera, id, captured_at, np.broadcast_to(np.uint8(0), (*size, 3)))


def summary(**changes: Any) -> ObjectSummary:
    values: dict[str, Any] = {
        "label": "person",
        "class_id": 1,
        "score": 0.91449,
        "box": (612.0, 210.04, 860.96, 810.0),
        "area_px": 120606,
        "area_fraction": 120606 / (1080 * 1920),
        "centroid": (733.1234, 512.35),
        "detection": 0,
    }
    return ObjectSummary(**{**values, **changes})


def builder(max_payload_bytes: int = 8192, **changes: str) -> FrameMessageBuilder:
    names = {"node": "dock-7", "session": "8f3c2a10", "model": "rfdetr-seg-preview", **changes}
    return FrameMessageBuilder(**names, max_payload_bytes=max_payload_bytes)


def build(
    messages: FrameMessageBuilder, objects: list[ObjectSummary], of: Frame | None = None
) -> tuple[bytes, dict[str, Any]]:
    payload = messages.build(of or frame(), objects, 81233.1265, 18.94, 81233.1474)
    message = json.loads(payload)
    VALIDATOR.validate(message)
    return payload, message


def objects_of_many_labels(count: int, label_length: int) -> list[ObjectSummary]:
    labels = [f"{i:04}{'x' * (label_length - 4)}" for i in range(count)]
    return [summary(label=label, area_px=count - i) for i, label in enumerate(labels)]


def test_the_message_of_the_contract() -> None:
    payload, message = build(builder(), [summary()])
    assert message == {
        "schema": "rfdetr-edge.frame/1",
        "session": "8f3c2a10",
        "seq": 1,
        "node": "dock-7",
        "camera": "dock",
        "model": "rfdetr-seg-preview",
        "time": {
            "capture": "2026-11-22T06:31:14.218Z",
            "uptime_s": 81233.123,
            "clock_synced": True,
        },
        "latency_ms": {"capture_to_infer": 3.1, "infer": 18.9, "capture_to_publish": 24.0},
        "frame": {"id": 88123, "width": 1920, "height": 1080},
        "counts": {"person": 1},
        "objects": [
            {
                "track_id": None,
                "label": "person",
                "class_id": 1,
                "score": 0.914,
                "bbox": [612.0, 210.0, 861.0, 810.0],
                "area_px": 120606,
                "area_fraction": 0.05816,
                "centroid": [733.1, 512.4],
                "zones": [],
            }
        ],
        "truncated": 0,
    }
    compact = json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()
    assert payload == compact  # in the contract's order of keys, without a blank


def test_a_frame_without_objects_has_a_message() -> None:
    _, message = build(builder(), [])
    assert (message["counts"], message["objects"], message["truncated"]) == ({}, [], 0)


def test_seq_counts_from_one_per_camera() -> None:
    messages = builder()
    cameras = ["dock", "gate", "dock", "dock", "gate"]
    built = [build(messages, [], frame(camera))[1] for camera in cameras]
    assert [(m["camera"], m["seq"]) for m in built] == [
        ("dock", 1),
        ("gate", 1),
        ("dock", 2),
        ("dock", 3),
        ("gate", 2),
    ]


def test_boxes_are_clamped_to_the_frame_after_rounding() -> None:
    box = (-0.04, -3.0, 640.04, 359.97)
    payload, message = build(builder(), [summary(box=box)], frame(size=(360, 640)))
    assert message["objects"][0]["bbox"] == [0.0, 0.0, 640.0, 360.0]
    assert b"-0.0" not in payload


def test_a_capture_time_ahead_of_the_clock_gives_no_latency_below_zero() -> None:
    payload = builder().build(frame(), [], 81233.0, 18.94, 81233.1)
    message = json.loads(payload)
    VALIDATOR.validate(message)
    assert message["latency_ms"] == {
        "capture_to_infer": 0.0,
        "infer": 18.9,
        "capture_to_publish": 0.0,
    }


def test_counts_have_every_object_per_label() -> None:
    labels = ["nut", "bolt", "nut", "bolt", "nut", "größe"]
    payload, message = build(builder(), [summary(label=label) for label in labels])
    assert message["counts"] == {"nut": 3, "bolt": 2, "größe": 1}
    assert "größe".encode() in payload


@pytest.mark.parametrize("budget", [512, 700, 1000, 1537, 4096, 8192])
def test_the_smallest_objects_are_left_out_and_no_more_than_needed(budget: int) -> None:
    objects = [summary(area_px=1000 - i, label=f"class {i % 7}") for i in range(100)]
    payload, message = build(builder(budget), objects)
    kept = len(message["objects"])
    assert [o["area_px"] for o in message["objects"]] == [o.area_px for o in objects[:kept]]
    assert message["truncated"] == 100 - kept > 0
    assert sum(message["counts"].values()) == 100
    assert len(payload) <= budget

    whole = build(builder(10**6), objects)[1]
    one_more = {**whole, "objects": whole["objects"][: kept + 1], "truncated": 99 - kept}
    assert len(json.dumps(one_more, separators=(",", ":"), ensure_ascii=False)) > budget


def test_a_message_of_exactly_the_budget_is_whole() -> None:
    objects = [summary() for _ in range(10)]
    size = len(build(builder(), objects)[0])
    payload, message = build(builder(size), objects)
    assert (len(payload), message["truncated"]) == (size, 0)
    assert build(builder(size - 1), objects)[1]["truncated"] == 1


OUTLINE = {
    "polygon": [{"outer": [[1.5, 2.0], [30.0, 2.0], [9.0, 40.1]], "holes": []}],
    "rle": {"size": [54, 54], "counts": "c_V12X3"},
}


def test_geometry_stands_with_its_object() -> None:
    payload = builder().build(frame(), [summary()] * 2, 0, 0, 0, [{"rle": OUTLINE["rle"]}, OUTLINE])
    message = json.loads(payload)
    VALIDATOR.validate(message)
    first, second = message["objects"]
    assert (first["rle"], "polygon" in first) == (OUTLINE["rle"], False)
    assert {key: second[key] for key in OUTLINE} == OUTLINE
    compact = json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()
    assert payload == compact


def test_geometry_goes_before_objects_the_smallest_objects_first() -> None:
    objects = [summary(area_px=1000 - i) for i in range(12)]
    outlines = [OUTLINE] * 12

    def built(budget: int) -> tuple[int, int, int]:
        payload = builder(budget).build(frame(), objects, 0, 0, 0, outlines)
        message = json.loads(payload)
        VALIDATOR.validate(message)
        assert len(payload) <= budget
        outlined = ["polygon" in seen for seen in message["objects"]]
        assert outlined == sorted(outlined, reverse=True)
        return len(payload), len(message["objects"]), sum(outlined)

    whole, bare = built(10**6)[0], len(builder().build(frame(), objects, 0, 0, 0))
    each = (whole - bare) // 12
    assert built(whole) == (whole, 12, 12)
    assert built(whole - 1) == (whole - each, 12, 11)
    assert built(bare + 5 * each - 1) == (bare + 4 * each, 12, 4)
    assert built(bare + each - 1) == (bare, 12, 0)
    assert built(bare - 1)[1:] == (11, 0)  # though one of them would fit with its geometry


@pytest.mark.parametrize("budget", range(512, 530))
def test_counts_that_do_not_fit_either_lose_their_rarest_labels(budget: int) -> None:
    objects = objects_of_many_labels(90, 7)
    objects += [summary(label=objects[40].label)] * 2 + [summary(label=objects[60].label)]
    payload, message = build(builder(budget), objects)
    kept = len(message["counts"])
    assert (message["objects"], message["truncated"]) == ([], 93)
    assert list(message["counts"].values()) == [3, 2] + [1] * (kept - 2)
    assert list(message["counts"])[:3] == [objects[i].label for i in (40, 60, 0)]
    assert message["counts_truncated"] == 90 - kept
    assert len(payload) <= budget < len(payload) + len(',"0000xxx":1')


def test_counts_that_just_fit_are_whole() -> None:
    objects = objects_of_many_labels(5, 10)
    whole = build(builder(), objects)[1]
    bare = {**whole, "objects": [], "truncated": 5}
    size = len(json.dumps(bare, separators=(",", ":")))
    padded = builder(512, model="m" * (512 - size + len(whole["model"])))
    payload, message = build(padded, objects)
    assert len(payload) == 512
    assert (len(message["counts"]), message["truncated"]) == (5, 5)
    assert "counts_truncated" not in message
    tight = builder(512, model="m" * (513 - size + len(whole["model"])))
    assert build(tight, objects)[1]["counts_truncated"] > 0


@pytest.mark.parametrize("character", ["n", '"', "\x01", "\U0001f600"])
def test_the_smallest_budget_holds_under_the_longest_names(character: str) -> None:
    messages = builder(512, node="n" * 300, model=character * 300)
    of = Frame("c" * 300, 10**10, Timestamp(4e9, 123456789.123, False), frame().image)
    messages.seq[of.camera] = 10**9
    objects = objects_of_many_labels(1000, 200)
    payload = messages.build(of, objects, 123456999.1236, 12345678.912, 123459999.1236)
    message = json.loads(payload)
    VALIDATOR.validate(message)
    assert len(payload) <= 512
    assert (message["node"], message["camera"]) == ("n" * 30, "c" * 30)
    assert (message["objects"], message["truncated"]) == ([], 1000)


def test_names_are_whole_where_the_header_fits() -> None:
    _, message = build(builder(1024, node="n" * 300), [])
    assert message["node"] == "n" * 300


def test_a_budget_that_not_even_a_header_fits_in_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 512"):
        builder(511)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.text(st.characters(), max_size=60), max_size=40),
    st.integers(512, 6000),
    st.text(st.characters(), min_size=1, max_size=200),
)
@example(['"\\\x00\u2028', "\ud800", "\udfff\ud800", "é", ""], 4000, "\udc80")
def test_any_label_keeps_the_budget_the_schema_and_the_count(
    labels: list[str], budget: int, model: str
) -> None:
    objects = [summary(label=label, class_id=i) for i, label in enumerate(labels)]
    payload, message = build(builder(budget, model=model), objects)
    assert len(payload) <= budget
    assert len(message["objects"]) + message["truncated"] == len(labels)
    if "counts_truncated" not in message:
        assert sum(message["counts"].values()) == len(labels)
    assert {o["label"] for o in message["objects"]} <= set(message["counts"])


def test_a_lone_surrogate_becomes_the_replacement_character() -> None:
    _, message = build(builder(), [summary(label="a\ud800b")])
    assert message["objects"][0]["label"] == "a\ufffdb"
    assert message["counts"] == {"a\ufffdb": 1}
