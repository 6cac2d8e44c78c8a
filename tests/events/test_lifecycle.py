"""The life of events: one ``new``, ``update``s, exactly one ``end``, whatever is seen."""

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.clock import Timestamp
from edge.config import CameraSettings, TrackingSettings
from edge.detections import Detections
from edge.events.lifecycle import Event, Lifecycle, Seen
from edge.events.lines import LineTotal, LineTotals
from edge.events.summary import summarise
from edge.frame import Frame

NAMES = ("circle", "square", "star")
GRID, SIZE = 24, (240, 240)
ZONES = [
    {"id": "left", "polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]], "min_overlap": 0.5},
    {"id": "lower", "polygon": [[0, 0.5], [1, 0.5], [1, 1], [0, 1]], "min_overlap": 0.5},
]
LINES = [{"id": "gate", "from": [0.5, 0.0], "to": [0.5, 1.0]}]


class Scene:
    """A camera whose objects are squares: (class row, x, y) of the middle, in cells of the grid."""

    def __init__(self, tracking: dict[str, Any] | None = None, **camera: Any) -> None:
        options = {"id": "dock", "source": "shapes:", **camera}
        self.settings = CameraSettings.model_validate(options, context={"folder": None})
        self.tracking = TrackingSettings.model_validate(tracking or {})
        self.totals = LineTotals("dock")
        self.lifecycle = Lifecycle(self.settings, self.tracking, "0123abcd", self.totals)
        self.frames = 0
        self.now_s = 1000.0
        self.wall_offset_s = 1.8e9

    def now(self) -> Timestamp:
        return Timestamp(self.wall_offset_s + self.now_s, self.now_s, True)

    def see(self, *squares: tuple[int, float, float], after_s: float = 0.1) -> Seen:
        self.now_s += after_s
        k, half, cell = len(squares), 3, SIZE[0] / GRID
        logits = np.full((k, GRID, GRID), -4, np.float32)
        box = np.zeros((k, 4), np.float32)
        for i, (_, x, y) in enumerate(squares):
            x1, x2 = max(0, round(x) - half), min(GRID, round(x) + half)
            y1, y2 = max(0, round(y) - half), min(GRID, round(y) + half)
            logits[i, y1:y2, x1:x2] = 4
            box[i] = np.array([x1, y1, x2, y2]) * cell
        rows = np.array([row for row, _, _ in squares], np.int64)
        detections = Detections(np.full(k, 0.9, np.float32), rows, box, logits, SIZE)
        image = np.broadcast_to(np.uint8(0), (*SIZE, 3))
        frame = Frame("dock", self.frames, self.now(), image)
        self.frames += 1
        return self.lifecycle.see(frame, detections, summarise(detections, NAMES))

    def events(self, *squares: tuple[int, float, float], after_s: float = 0.1) -> list[Event]:
        return self.see(*squares, after_s=after_s).events


def types(events: list[Event]) -> list[str]:
    return [event.type for event in events]


def test_an_object_is_new_once_it_is_confirmed() -> None:
    scene = Scene()
    assert [seen.track_id for seen in scene.see((0, 12, 12)).objects] == [None]
    assert [seen.track_id for seen in scene.see((0, 12, 12)).objects] == [None]
    seen = scene.see((0, 12, 12))
    assert [o.track_id for o in seen.objects] == [1]
    (event,) = seen.events
    assert (event.type, event.event_id) == ("new", "0123abcd-dock-1")
    assert event.frames == 3
    assert event.first_seen.uptime_s == pytest.approx(1000.1)
    assert event.age_s == pytest.approx(0.2)
    assert event.frame.id == 2


def test_what_was_never_confirmed_is_never_told() -> None:
    scene = Scene()
    scene.see((0, 12, 12))
    assert scene.lifecycle.watches
    events = [event for _ in range(40) for event in scene.events()]
    assert events == []
    assert not scene.lifecycle.watches, "it is remembered for ever"
    assert scene.lifecycle.close("shutdown", scene.now()) == []


def test_updates_keep_their_interval() -> None:
    scene = Scene({"update_interval_s": 1.0})
    told = [scene.now_s for _ in range(45) if scene.events((0, 12, 12))]
    assert told == pytest.approx([1000.3, 1001.3, 1002.3, 1003.3, 1004.3], abs=0.11)


def test_entering_and_leaving_a_zone_is_told_at_once() -> None:
    scene = Scene({"update_interval_s": 100}, zones=ZONES[:1])
    for _ in range(3):
        events = scene.events((0, 20, 12))
    assert types(events) == ["new"]
    way = [20, 18, 16, 14, 13, 12, 11, 10, 11, 12, 13, 14, 16]
    told = [(x, event.seen.zones) for x in way for event in scene.events((0, x, 12))]
    assert told == [(12, ("left",)), (13, ())]


def test_a_crossing_is_told_at_once_and_counted() -> None:
    scene = Scene({"update_interval_s": 100}, lines=LINES)
    way = [4, 6, 8, 10, 12, 14, 16, 18, 16, 14, 12, 10, 8]
    events = [event for x in way for event in scene.events((2, x, 12))]
    told = [(c.line, c.direction) for event in events for c in event.crossings]
    assert told == [("gate", "in"), ("gate", "out")]
    assert types(events) == ["new", "update", "update"]
    assert list(scene.totals) == [LineTotal("dock", "gate", "star", ins=1, outs=1)]


def test_a_crossing_before_the_confirmation_is_told_with_it() -> None:
    scene = Scene({"confirm_frames": 5}, lines=LINES)
    events = [event for x in (8, 10, 12, 14, 16) for event in scene.events((0, x, 12))]
    assert types(events) == ["new"]
    assert [c.direction for c in events[0].crossings] == ["in"]
    assert list(scene.totals) == [LineTotal("dock", "gate", "circle", ins=1, outs=0)]


def test_an_object_that_is_gone_is_lost() -> None:
    scene = Scene({"lost_after_s": 2.0})
    for _ in range(3):
        scene.see((0, 12, 12))
    last = scene.now()
    ends = []
    while not ends:
        ends = scene.events()
    (end,) = ends
    assert (end.type, end.end_reason) == ("end", "lost")
    assert end.frame.captured_at == last
    assert end.decided_at == scene.now()
    assert 2.0 < scene.now_s - last.uptime_s < 2.2


def test_a_camera_that_stalls_loses_nothing() -> None:
    scene = Scene({"lost_after_s": 2.0, "update_interval_s": 100})
    for _ in range(3):
        scene.see((0, 12, 12))
    assert scene.events((0, 12, 12), after_s=4.9) == []
    assert scene.lifecycle.counts()[0] == {"circle": 1}


@pytest.mark.parametrize("reason", ["camera_offline", "disabled", "shutdown", "source_ended"])
def test_closing_ends_what_is_open_and_nothing_twice(reason: Any) -> None:
    scene = Scene()
    for _ in range(3):
        scene.see((0, 6, 6), (1, 18, 18))
    scene.see((0, 6, 6), (1, 18, 18), (2, 6, 18))  # the third is not confirmed
    ends = scene.lifecycle.close(reason, scene.now())
    assert sorted(end.event_id for end in ends) == ["0123abcd-dock-1", "0123abcd-dock-2"]
    assert {end.end_reason for end in ends} == {reason}
    assert not scene.lifecycle.watches
    assert scene.lifecycle.close(reason, scene.now()) == []
    assert [event for _ in range(5) for event in scene.events()] == []


def test_no_event_ends_before_it_was_last_seen() -> None:
    """A file that is read faster than it plays has a time of its own, ahead of the clock."""
    scene = Scene()
    for _ in range(3):
        scene.see((0, 6, 6))
    now = scene.now()
    (end,) = scene.lifecycle.close(
        "source_ended", Timestamp(now.wall_s - 4, now.uptime_s - 4, True)
    )
    assert end.decided_at == end.frame.captured_at == now


def test_after_closing_the_same_object_is_another_event() -> None:
    scene = Scene()
    for _ in range(3):
        scene.see((0, 6, 6))
    scene.lifecycle.close("camera_offline", scene.now())
    events = [event for _ in range(3) for event in scene.events((0, 6, 6))]
    assert [(event.type, event.event_id) for event in events] == [("new", "0123abcd-dock-2")]


def test_counts_are_of_open_objects_by_label_and_zone() -> None:
    scene = Scene(zones=ZONES)
    assert scene.lifecycle.counts() == (Counter(), Counter())
    for _ in range(3):
        scene.see((0, 5, 5), (0, 5, 19), (1, 19, 19))
    by_label, by_zone = scene.lifecycle.counts()
    assert by_label == {"circle": 2, "square": 1}
    assert by_zone == {("left", "circle"): 2, ("lower", "circle"): 1, ("lower", "square"): 1}


def test_one_label_for_a_whole_event() -> None:
    scene = Scene({"update_interval_s": 0.1})
    rows = [0, 0, 0, 1, 1, 1, 1, 1]
    seen = [scene.see((row, 12, 12)) for row in rows]
    assert {event.seen.label for one in seen for event in one.events} == {"circle"}
    assert [o.label for one in seen for o in one.objects] == [NAMES[row] for row in rows]


def test_masks_are_kept_only_for_geometry() -> None:
    for geometry, kept in (("none", False), ("rle", True)):
        scene = Scene(geometry=geometry)
        for _ in range(3):
            events = scene.events((0, 12, 12))
        assert (events[0].mask_logits is not None) is kept


def test_a_wall_clock_that_jumps_changes_no_event_but_its_dates() -> None:
    """Boards boot in 1970 and are set right later; sometimes wrongly, and back again."""
    told: dict[bool, list[Any]] = {}
    for jumps in (False, True):
        scene = Scene({"update_interval_s": 0.5}, zones=ZONES, lines=LINES)
        events = []
        for i in range(60):
            if jumps and i % 7 == 0:
                scene.wall_offset_s = [0.0, 1.8e9, -3600.0, 1.7e9][i // 7 % 4]
            way = [(0, 4 + i / 4, 12)] if i < 30 else []
            events += scene.events(*way)
        told[jumps] = [
            (e.type, e.event_id, e.age_s, e.frames, e.dwell_s, e.crossings, e.end_reason)
            for e in events
        ]
    kinds = [kind for kind, *_ in told[True]]
    assert (kinds[0], kinds[-1], set(kinds[1:-1])) == ("new", "end", {"update"})
    assert told[True] == told[False]


squares = st.tuples(st.integers(0, 2), st.integers(0, GRID), st.integers(0, GRID))
steps = st.one_of(
    st.tuples(st.lists(squares, max_size=5), st.sampled_from([0.0, 0.03, 0.1, 0.5, 1.9, 2.5, 60])),
    st.sampled_from(["camera_offline", "disabled"]),
)
walks = st.lists(st.tuples(st.integers(0, 4), st.integers(-3, 3), st.integers(-3, 3)), max_size=80)


@settings(max_examples=150, deadline=None)
@given(
    stream=st.lists(steps, max_size=40),
    walk=walks,
    confirm=st.integers(1, 4),
    lost=st.sampled_from([0.05, 2.0]),
)
def test_every_new_gets_exactly_one_end(
    stream: list[Any], walk: list[tuple[int, int, int]], confirm: int, lost: float
) -> None:
    """Random scenes, jumps and walks: the contract's rules hold for every event."""
    scene = Scene({"confirm_frames": confirm, "lost_after_s": lost}, zones=ZONES, lines=LINES)
    at = [(i % 3, 12, 12) for i in range(5)]
    for i, dx, dy in walk:  # neighbours in time that are neighbours in space, too
        row, x, y = at[i]
        at[i] = row, min(max(x + dx, 0), GRID), min(max(y + dy, 0), GRID)
        stream.append((list(at[: 1 + len(stream) % 5]), 0.1))
    opened: dict[str, Event] = {}
    ended: set[str] = set()
    numbers: list[int] = []
    crossed: dict[str, list[str]] = {}

    def check(events: list[Event]) -> None:
        for event in events:
            assert event.event_id not in ended
            if event.type == "new":
                assert event.event_id not in opened
                assert event.frames >= confirm
                numbers.append(int(event.event_id.rsplit("-", 1)[1]))
            else:
                before = opened[event.event_id]
                assert event.seen.label == before.seen.label
                assert event.first_seen == before.first_seen
                assert event.frames >= before.frames
                assert event.score_max >= before.score_max
                gap_s = event.frame.captured_at.uptime_s - before.frame.captured_at.uptime_s
                changed = event.seen.zones != before.seen.zones or event.crossings
                assert event.type == "end" or changed or gap_s >= 1.0
            opened[event.event_id] = event
            crossed.setdefault(event.event_id, []).extend(c.direction for c in event.crossings)
            if event.type == "end":
                assert event.end_reason is not None
                assert event.decided_at is not None
                ended.add(event.event_id)

    for step in stream:
        if isinstance(step, str):
            check(scene.lifecycle.close(step, scene.now()))
        else:
            seen = scene.see(*step[0], after_s=step[1])
            check(seen.events)
            live = {f"0123abcd-dock-{o.track_id}" for o in seen.objects if o.track_id is not None}
            assert live <= set(opened) - ended
        by_label, _ = scene.lifecycle.counts()
        assert by_label == Counter(opened[e].seen.label for e in set(opened) - ended)
    check(scene.lifecycle.close("shutdown", scene.now()))
    assert ended == set(opened)
    assert sorted(numbers) == list(range(1, len(numbers) + 1)), "each id once"
    for directions in crossed.values():
        assert all(one != other for one, other in pairwise(directions)), "in and out take turns"
    by_direction = Counter(d for directions in crossed.values() for d in directions)
    assert sum(total.ins for total in scene.totals) == by_direction["in"]
    assert sum(total.outs for total in scene.totals) == by_direction["out"]
