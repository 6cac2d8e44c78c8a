"""Crossings of lines: which way, once each, and not for trembling or for going around the end."""

from itertools import pairwise

import numpy as np
import pytest
import supervision as sv
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config import LineSettings
from edge.events.lines import MARGIN, Crossing, LineCrossings, Lines, LineTotals
from edge.line_total import LineTotal

SIZE = (500, 1000)  # the margin is 5 pixels
DOWN = {"id": "gate", "from": (0.5, 0.2), "to": (0.5, 0.8)}  # x = 500, y = 100 to 400


def crossings(*lines: dict[str, object]) -> LineCrossings:
    return Lines([LineSettings.model_validate(line) for line in lines or (DOWN,)]).crossings()


def walk(
    crossings: LineCrossings, *places: tuple[float, float], size: tuple[int, int] = SIZE
) -> list[tuple[int, str]]:
    """The steps that complete a crossing, each with its direction."""
    steps = [crossings.update(place, size) for place in places]
    return [(i, crossing.direction) for i, found in enumerate(steps) for crossing in found]


@pytest.mark.parametrize(
    ("start", "stop", "direction"),
    [
        ((0.5, 0), (0.5, 1), "in"),  # from above to below: to the right is in
        ((0.5, 1), (0.5, 0), "out"),
        ((0.2, 0.1), (0.9, 0.95), "in"),
        ((0.9, 0.95), (0.2, 0.1), "out"),
    ],
)
def test_the_direction_follows_from_the_lines_own(
    start: tuple[float, float], stop: tuple[float, float], direction: str
) -> None:
    line = {"id": "gate", "from": start, "to": stop}
    back = {"in": "out", "out": "in"}[direction]
    way = walk(crossings(line), (200, 250), (800, 250), (900, 250), (200, 250))
    assert way == [(1, direction), (3, back)]


def test_upwards_over_a_line_from_left_to_right_is_in() -> None:
    line = {"id": "kerb", "from": (0.1, 0.5), "to": (0.9, 0.5)}
    assert walk(crossings(line), (500, 300), (500, 200)) == [(1, "in")]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_random_walks_are_counted_as_supervision_counts_them(seed: int) -> None:
    random = np.random.default_rng(seed)
    height, width = size = (720, 1280)
    start, stop = random.uniform(size=(2, 2)) * [[1, 0.4]] + [[0, 0], [0, 0.6]]
    along = (stop - start) * (width, height)
    across = np.array([along[1], -along[0]]) / np.hypot(*along)
    # Beside the line, never within the margin: there the two differ on purpose.
    offset = random.uniform(MARGIN * height + 0.01, 300, 80) * random.choice([-1, 1], 80)
    places = start * (width, height) + random.uniform(0.01, 0.99, (80, 1)) * along
    places += offset[:, None] * across

    theirs = sv.LineZone(
        sv.Point(*(start * (width, height))),
        sv.Point(*(stop * (width, height))),
        triggering_anchors=[sv.Position.CENTER],
    )
    ours = crossings({"id": "gate", "from": tuple(start), "to": tuple(stop)})
    for place in places:
        box = np.array([[*(place - 4), *(place + 4)]])
        seen = sv.Detections(xyxy=box, tracker_id=np.array([7]))
        inwards, outwards = theirs.trigger(seen)
        expected = ["in"] * int(inwards[0]) + ["out"] * int(outwards[0])
        assert [found.direction for found in ours.update(tuple(place), size)] == expected
    assert theirs.in_count + theirs.out_count > 10


def test_trembling_on_the_line_counts_nothing() -> None:
    trembling = [(500 + x, 250.0) for x in np.random.default_rng(0).uniform(-5, 5, 500)]
    assert walk(crossings(), *trembling) == []
    assert walk(crossings(), (450, 250), *trembling, (450, 250)) == []
    assert walk(crossings(), (450, 250), *trembling, (550, 250)) == [(501, "in")]


def test_the_margin_must_be_left_on_the_other_side() -> None:
    slowly = [(x + 0.5, 250.0) for x in range(480, 520)]
    assert walk(crossings(), *slowly) == [(25, "in")]  # at 505.5
    assert walk(crossings(), *slowly, *slowly[::-1]) == [(25, "in"), (40 + 25, "out")]
    assert walk(crossings(), (480, 250), (504, 250), (480, 250)) == []
    assert walk(crossings(), (520, 250), (496, 250), (520, 250)) == []


def test_an_object_that_jumps_over_the_line_has_crossed_it() -> None:
    assert walk(crossings(), (10, 120), (990, 380)) == [(1, "in")]


def test_an_object_that_is_first_seen_on_the_line_has_not_crossed_it() -> None:
    assert walk(crossings(), (497, 250), (600, 250)) == []
    assert walk(crossings(), (497, 250), (600, 250), (400, 250)) == [(2, "out")]


def test_the_way_around_the_end_does_not_count() -> None:
    assert walk(crossings(), (450, 450), (550, 450)) == []
    assert walk(crossings(), (450, 250), (450, 450), (550, 450), (550, 250)) == []
    round_ = [(450, 250), (550, 250), (550, 50), (450, 50), (450, 250), (550, 250)]
    assert walk(crossings(), *round_) == [(1, "in"), (5, "in")]


def test_it_is_the_place_of_the_crossing_that_counts() -> None:
    assert walk(crossings(), (300, 300), (600, 450)) == [(1, "in")]  # at y = 400
    assert walk(crossings(), (300, 301), (600, 451)) == []
    # Along the line, within its margin, from beyond its end: it went through where it sank below.
    assert walk(crossings(), (480, 50), (499, 50), (499, 390), (501, 395), (520, 395)) == [
        (4, "in")
    ]
    assert walk(crossings(), (480, 50), (499, 50), (501, 60), (501, 390), (520, 395)) == []


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-30, 30), st.booleans())
def test_trembling_at_the_end_counts_one_crossing_at_most(
    seed: int, y: float, through: bool
) -> None:
    steps = np.random.default_rng(seed).uniform(-4.9, 4.9, (60, 2)).tolist()
    trembling = [(500 + step_x, 400 + y + step_y) for step_x, step_y in steps]
    way = [(450.0, 250.0), *trembling, (550.0 if through else 450.0, 250.0)]
    found = walk(crossings(), *way)
    assert found in ([], [(61, "in")]) if through else found == []


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 500)), min_size=2, max_size=60))
def test_in_and_out_take_turns_on_a_line_across_the_frame(
    places: list[tuple[float, float]],
) -> None:
    across = crossings({"id": "gate", "from": (0.5, 0), "to": (0.5, 1)})
    directions = [direction for _, direction in walk(across, *places)]
    assert all(one != following for one, following in pairwise(directions))
    clear = [x > 500 for x, _ in places if abs(x - 500) > 5]
    net = directions.count("in") - directions.count("out")
    assert net == (int(clear[-1]) - int(clear[0]) if clear else 0)


def test_the_margin_is_as_wide_in_every_direction() -> None:
    across = {"id": "kerb", "from": (0.1, 0.5), "to": (0.9, 0.5)}
    assert walk(crossings(across), (500, 300), (500, 245.5)) == []
    assert walk(crossings(across), (500, 300), (500, 244.5)) == [(1, "in")]
    assert walk(crossings(), (450, 250), (504.5, 250)) == []
    assert walk(crossings(), (450, 250), (505.5, 250)) == [(1, "in")]


def test_a_camera_that_changes_its_resolution() -> None:
    gate = crossings()
    assert walk(gate, (450, 250), size=(500, 1000)) == []
    assert walk(gate, (900, 500), size=(1000, 2000)) == []  # the same place
    assert walk(gate, (550, 250), size=(500, 1000)) == [(0, "in")]


def test_each_line_and_each_object_for_itself() -> None:
    lines = Lines(
        [LineSettings(**{"id": f"at-{x}", "from": (x / 10, 0), "to": (x / 10, 1)}) for x in (7, 3)]
    )
    one, other = lines.crossings(), lines.crossings()
    assert one.update((100, 250), SIZE) == []
    assert other.update((500, 250), SIZE) == []
    assert one.update((900, 250), SIZE) == [Crossing("at-7", "in"), Crossing("at-3", "in")]
    assert other.update((100, 250), SIZE) == [Crossing("at-3", "out")]
    assert Lines([]).crossings().update((1, 1), SIZE) == []


# Totals


def test_totals_go_on_from_what_was_stored() -> None:
    totals = LineTotals(
        "dock", [LineTotal("dock", "gate", "person", 7, 5), LineTotal("yard", "gate", "cat", 1, 1)]
    )
    assert totals.get("gate", "person") == LineTotal("dock", "gate", "person", 7, 5)
    assert totals.get("gate", "cat") == LineTotal("dock", "gate", "cat", 0, 0)
    assert totals.add("gate", "person", "in") == LineTotal("dock", "gate", "person", 8, 5)
    assert totals.add("gate", "person", "out") == LineTotal("dock", "gate", "person", 8, 6)
    assert totals.add("kerb", "person", "out") == LineTotal("dock", "kerb", "person", 0, 1)
    assert set(totals) == {
        LineTotal("dock", "gate", "person", 8, 6),
        LineTotal("dock", "kerb", "person", 0, 1),
    }
