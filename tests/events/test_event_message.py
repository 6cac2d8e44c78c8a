"""Event messages: their content, their byte budget, and that every one obeys the schema."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from edge.clock import Timestamp
from edge.events.event_message import SMALLEST_BUDGET, EventBody, EventMessageBuilder
from edge.events.lifecycle import Event
from edge.events.lines import Crossing
from edge.events.schema import load
from edge.events.summary import ObjectSummary
from edge.frame import FrameHeader

VALIDATOR = Draft202012Validator(load("event-1"))
CAPTURED = Timestamp(1795329074.218, 81233.1234, True)
DECIDED = Timestamp(1795329076.5, 81235.4054, True)
LATENCY = {"capture_to_infer": 3.1, "infer": 18.9, "capture_to_publish": 24.0}
RING = [[0.0, 0.0], [10.5, 0.0], [10.5, 8.0]]


def event(**changes: Any) -> Event:
    seen = ObjectSummary(
        label="person",
        class_id=1,
        score=0.91449,
        box=(612.0, 210.04, 860.96, 810.0),
        area_px=120606,
        area_fraction=120606 / (1080 * 1920),
        centroid=(733.1234, 512.35),
        detection=0,
        track_id=42,
        zones=("bay",),
    )
    values: dict[str, Any] = {
        "type": "update",
        "event_id": "8f3c2a10-dock-42",
        "frame": FrameHeader("dock", 88123, CAPTURED, (1080, 1920)),
        "seen": seen,
        "mask_logits": None,
        "first_seen": Timestamp(1795329070.0, 81228.9054, True),
        "age_s": 4.218,
        "frames": 63,
        "score_max": 0.97349,
        "dwell_s": {"bay": 3.04},
        "crossings": [Crossing("gate", "in")],
    }
    return Event(**{**values, **changes})


def ended(**changes: Any) -> Event:
    return event(
        **{"type": "end", "crossings": (), "decided_at": DECIDED, "end_reason": "lost", **changes}
    )


def builder(max_payload_bytes: int = 8192, **changes: str) -> EventMessageBuilder:
    names = {"node": "dock-7", "session": "8f3c2a10", "model": "rfdetr-seg-preview", **changes}
    return EventMessageBuilder(**names, max_payload_bytes=max_payload_bytes)


def sent(body: EventBody, seq: int = 1931, replayed: bool = True) -> tuple[bytes, dict[str, Any]]:
    """The message as it leaves."""
    payload = body.head + b"%d" % seq + body.tail
    if replayed:
        payload = payload[:-1] + b',"replayed":true}'
    message = json.loads(payload)
    VALIDATOR.validate(message)
    return payload, message


def test_the_message_of_an_update() -> None:
    _, message = sent(builder().build(event(), LATENCY), replayed=False)
    assert message == {
        "schema": "rfdetr-edge.event/1",
        "session": "8f3c2a10",
        "seq": 1931,
        "node": "dock-7",
        "camera": "dock",
        "model": "rfdetr-seg-preview",
        "time": {
            "capture": "2026-11-22T06:31:14.218Z",
            "uptime_s": 81233.123,
            "clock_synced": True,
        },
        "latency_ms": LATENCY,
        "frame": {"id": 88123, "width": 1920, "height": 1080},
        "type": "update",
        "event_id": "8f3c2a10-dock-42",
        "object": {
            "track_id": 42,
            "label": "person",
            "class_id": 1,
            "score": 0.914,
            "bbox": [612.0, 210.0, 861.0, 810.0],
            "area_px": 120606,
            "area_fraction": 0.05816,
            "centroid": [733.1, 512.4],
            "zones": ["bay"],
            "first_seen": "2026-11-22T06:31:10.000Z",
            "age_s": 4.218,
            "frames": 63,
            "score_max": 0.973,
            "dwell_s": {"bay": 3.0},
        },
        "crossed": [{"line": "gate", "direction": "in"}],
    }


def test_an_end_says_why_and_when_and_has_no_latency() -> None:
    _, message = sent(builder().build(ended()))
    assert message["end_reason"] == "lost"
    assert message["time"]["capture"] == "2026-11-22T06:31:14.218Z"
    assert message["time"]["event"] == "2026-11-22T06:31:16.500Z"
    assert "latency_ms" not in message


def test_geometry_is_part_of_the_object() -> None:
    outline = {"polygon": [{"outer": RING, "holes": []}]}
    _, message = sent(builder().build(event(), LATENCY, outline))
    assert message["object"]["polygon"] == outline["polygon"]


def test_what_a_dead_session_left_open_is_ended_in_its_name() -> None:
    payload, opened = sent(builder().build(event(type="new"), LATENCY), seq=7)
    later = builder(session="00000001", node="dock-8")
    _, message = sent(later.close_left_open(payload, DECIDED), seq=1)
    assert message["session"] == "00000001"
    assert message["opened_session"] == "8f3c2a10"
    assert message["node"] == "dock-8"
    assert (message["type"], message["end_reason"]) == ("end", "restart")
    assert message["time"] == {**opened["time"], "event": "2026-11-22T06:31:16.500Z"}
    for same in ("camera", "model", "frame", "event_id", "object"):
        assert message[same] == opened[same]


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"session": "x", "time": 3}', b"\xff"])
def test_what_is_no_event_cannot_be_ended(body: bytes) -> None:
    with pytest.raises(ValueError, match="not an event message"):
        builder().close_left_open(body, DECIDED)


def test_geometry_goes_before_anything_else() -> None:
    outline = {"polygon": [{"outer": RING * 200, "holes": []}]}
    payload, message = sent(builder(2048).build(event(), LATENCY, outline))
    assert "polygon" not in message["object"]
    assert message["object"]["dwell_s"] == {"bay": 3.0}
    assert len(payload) <= 2048


def test_an_end_of_a_dead_session_keeps_the_budget_of_this_one() -> None:
    outline = {"polygon": [{"outer": RING * 200, "holes": []}]}
    payload, _ = sent(builder(10**6).build(event(), LATENCY, outline))
    payload, message = sent(builder(1024).close_left_open(payload, DECIDED))
    assert len(payload) <= 1024
    assert message["object"]["zones"] == ["bay"]


def test_zones_are_cut_before_crossings() -> None:
    zones = tuple(f"zone-{i:02}-{'z' * 50}" for i in range(12))
    made = event(crossings=[Crossing(f"gate-{i}", "out") for i in range(3)], dwell_s={})
    made = replace(made, seen=replace(made.seen, zones=zones))
    _, message = sent(builder(1024).build(made, LATENCY))
    assert 0 < len(message["object"]["zones"]) < 12
    assert len(message["crossed"]) == 3
    assert "crossed_truncated" not in message


def test_a_budget_that_not_even_an_event_fits_in_is_refused() -> None:
    with pytest.raises(ValueError, match="1024"):
        builder(SMALLEST_BUDGET - 1)


@pytest.mark.parametrize("char", ["n", '"', "\x01", "\U0001f600", "\ud800"])
@pytest.mark.parametrize("made", [event, ended])
def test_the_smallest_budget_holds_under_the_longest_names(made: Any, char: str) -> None:
    zones = tuple(f"zone-{i:02}-{'z' * 50}" for i in range(40))
    crowded = made(
        event_id=f"8f3c2a10-{'c' * 64}-{10**9}",
        frame=FrameHeader(
            "c" * 64, 10**12, replace(CAPTURED, uptime_s=1e9 + 0.1234), (99999, 99999)
        ),
        dwell_s=dict.fromkeys(zones, 1e6),
        crossings=[Crossing(f"line-{i:02}-{'l' * 50}", "in") for i in range(12)]
        if made is event
        else (),
    )
    seen = replace(
        crowded.seen,
        label=char * 300,
        zones=zones,
        track_id=10**9,
        box=(99999.9,) * 4,
        area_px=99999**2,
        centroid=(99999.1, 99999.1),
    )
    built = builder(SMALLEST_BUDGET, node="n" * 64, model="m" * 100).build(
        replace(crowded, seen=seen), LATENCY if made is event else None
    )
    payload, message = sent(built, seq=10**15)
    assert len(payload) <= SMALLEST_BUDGET
    kept = message["object"]["zones"]
    assert tuple(kept) == zones[: len(kept)]
    assert message["zones_truncated"] == 40 - len(kept)
    if made is event:
        lines = [crossing["line"] for crossing in message["crossed"]]
        assert lines == [f"line-{i:02}-{'l' * 50}" for i in range(len(lines))]
        assert message["crossed_truncated"] == 12 - len(lines)


@settings(deadline=None)
@given(budget=st.integers(1024, 4096), zones=st.integers(0, 40), points=st.integers(3, 300))
def test_every_budget_is_kept(budget: int, zones: int, points: int) -> None:
    names = tuple(f"z{i}" for i in range(zones))
    given_event = event(dwell_s=dict.fromkeys(names, 1.0))
    given_event = replace(given_event, seen=replace(given_event.seen, zones=names))
    outline = {"polygon": [{"outer": [[0.5, 1.5]] * points, "holes": []}]}
    payload, _ = sent(builder(budget).build(given_event, LATENCY, outline))
    assert len(payload) <= budget
