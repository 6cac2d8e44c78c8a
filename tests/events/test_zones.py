"""Shares of masks in polygons, by the pixel; entering, staying and leaving, by the second."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config import ZoneSettings
from edge.events.zones import ZonePresence, Zones, polygon_runs
from edge.mask_runs import mask_runs
from edge.masks import full_masks

SIZE = (40, 60)
WHOLE = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]
LEFT_HALF = [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)]
STAR = [
    (0.5 + 0.45 * math.sin(angle), 0.5 - 0.45 * math.cos(angle))
    for angle in np.arange(5) * 0.8 * math.pi  # to the next but one: the middle is gone round twice
]


def zone(polygon: list[tuple[float, float]] = WHOLE, name: str = "bay", **rest: float) -> Zones:
    return Zones([ZoneSettings(id=name, polygon=polygon, **rest)])


def rectangles(*cells: tuple[slice, slice]) -> np.ndarray:
    """Mask logits ``[K, 8, 8]`` with these rows and columns of cells in each mask."""
    logits = np.full((len(cells), 8, 8), -1, dtype=np.float32)
    for plane, (rows, columns) in zip(logits, cells, strict=True):
        plane[rows, columns] = 1
    return logits


def bitmap(polygon: list[tuple[float, float]], size: tuple[int, int]) -> np.ndarray:
    column = np.arange(size[1])
    starts, stops = polygon_runs(polygon, size)
    inside = ((starts[..., None] <= column) & (column < stops[..., None])).sum(axis=0)
    assert inside.max(initial=0) <= 1, "two runs of a row overlap"
    return inside == 1


# Shares


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 64), st.integers(0, 64)), min_size=3, max_size=9),
    st.sampled_from([(40, 60), (33, 17), (1, 50), (50, 1)]),
)
def test_a_pixel_is_inside_where_its_centre_is(
    corners: list[tuple[int, int]], size: tuple[int, int]
) -> None:
    height, width = size
    # In 1/128 pixel everything is a whole number, so that this is exact.
    x, y = 128 * np.arange(width) + 64, 128 * np.arange(height)[:, None] + 64
    inside, on_side = np.zeros(size, dtype=np.bool_), np.zeros(size, dtype=np.bool_)
    points = [(2 * px * width, 2 * py * height) for px, py in corners]
    for (x1, y1), (x2, y2) in zip(points, points[1:] + points[:1], strict=True):
        turn = (x2 - x1) * (y - y1) - (y2 - y1) * (x - x1)
        met = (y1 <= y) != (y2 <= y)
        inside ^= met & ((turn > 0) == (y2 < y1))
        on_side |= met & (turn == 0)
    found = bitmap([(px / 64, py / 64) for px, py in corners], size)
    assert np.array_equal(found | on_side, inside | on_side)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(40, 60), (300, 280)]))
def test_shares_are_of_the_full_resolution_masks(seed: int, size: tuple[int, int]) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(size=(3, 9, 9)).astype(np.float32)
    polygons = [list(map(tuple, random.uniform(size=(7, 2)).tolist())) for _ in range(2)]
    settings = [ZoneSettings(id=str(i), polygon=polygon) for i, polygon in enumerate(polygons)]
    shares = Zones(settings).shares(mask_runs(logits, size))
    masks = full_masks(logits, size)
    inside = np.stack([bitmap(polygon, size) for polygon in polygons])
    expected = (masks[:, None] & inside).sum(axis=(2, 3)) / masks.sum(axis=(1, 2))[:, None]
    assert shares.shape == (3, 2)
    assert np.array_equal(shares, expected)


def test_it_is_the_mask_that_counts_and_not_the_box() -> None:
    logits = rectangles((slice(0, 8), slice(0, 8)))
    logits[0, :6, 2:] = -1  # an L: its box is the frame, its mask is left and below
    upper_right = [(0.5, 0.0), (1.0, 0.0), (1.0, 0.5), (0.5, 0.5)]
    assert zone(upper_right).shares(mask_runs(logits, SIZE)).tolist() == [[0.0]]


@pytest.mark.parametrize("size", [(360, 640), (361, 641), (1080, 1920)])
def test_zones_that_share_a_side_share_no_pixel_and_miss_none(size: tuple[int, int]) -> None:
    # A slanted side, up in one and down in the other; a zigzag between the lower two.
    upper = [(0.0, 0.0), (1.0, 0.0), (1.0, 0.37), (0.0, 0.71)]
    zigzag = [(0.31, 0.9), (0.52, 0.83), (0.47, 1.0)]
    edge = (0.4, 0.574)  # on the slanted side, so that both lower ones have the same corner there
    below = [(0.0, 0.71), edge, *zigzag, (0.0, 1.0)]
    right = [(1.0, 0.37), (1.0, 1.0), *zigzag[::-1], edge]
    upper.insert(3, edge)
    covered = sum(bitmap(polygon, size).astype(int) for polygon in (upper, below, right))
    assert np.array_equal(covered, np.ones(size, dtype=int))


def test_inside_is_what_an_odd_number_of_sides_goes_around() -> None:
    star = bitmap(STAR, (200, 200))
    assert not star[100, 100]
    assert star[30, 100]
    assert star[150, 60]


def test_a_camera_that_changes_its_resolution() -> None:
    zones, logits = (
        zone(LEFT_HALF),
        rectangles((slice(2, 6), slice(2, 4)), (slice(2, 6), slice(4, 6))),
    )
    for size in ((40, 64), (720, 1280), (40, 64)):
        assert zones.shares(mask_runs(logits, size)).tolist() == [[1.0], [0.0]]


def test_an_empty_mask_is_nowhere() -> None:
    logits = rectangles((slice(0, 0), slice(0, 0)), (slice(0, 8), slice(0, 8)))
    assert zone().shares(mask_runs(logits, SIZE)).tolist() == [[0.0], [1.0]]


def test_without_objects_or_without_zones_there_are_no_shares() -> None:
    masks = mask_runs(rectangles((slice(0, 8), slice(0, 8))), SIZE)
    assert Zones([]).shares(masks).shape == (1, 0)
    assert zone().shares(mask_runs(np.zeros((0, 8, 8), np.float32), SIZE)).shape == (0, 1)
    presence = Zones([]).presence()
    assert presence.update(np.zeros(0), 1.0) is False
    assert presence.zones == ()
    assert presence.dwell_s(2.0) == {}


# Presence


def walk(presence: ZonePresence, *sightings: tuple[float, float]) -> list[bool]:
    """Whether it is in the one zone after each (share, uptime); ``update`` tells of each change."""
    inside = [bool(presence.zones)]
    for share, at_s in sightings:
        changed = presence.update(np.array([share]), at_s)
        inside.append(bool(presence.zones))
        assert changed == (inside[-1] != inside[-2])
    return inside[1:]


def test_it_enters_at_min_overlap_and_leaves_below_the_hysteresis() -> None:
    presence = zone(min_overlap=0.5, hysteresis=0.25).presence()
    shares = [0.49, 0.5, 0.26, 0.25, 0.24, 0.4, 0.49, 1.0, 0.0]
    inside = walk(presence, *((share, float(i)) for i, share in enumerate(shares)))
    assert inside == [False, True, True, True, False, False, False, True, False]


def test_a_touch_is_enough_where_min_overlap_is_0() -> None:
    presence = zone(min_overlap=0, hysteresis=0).presence()
    assert walk(presence, (0, 0), (1e-6, 1), (0, 2)) == [False, True, False]


def test_it_leaves_at_0_where_the_hysteresis_is_all_of_min_overlap() -> None:
    presence = zone(min_overlap=0.5, hysteresis=0.5).presence()
    assert walk(presence, (0.5, 0), (1e-6, 1), (0, 2)) == [True, True, False]


def test_dwell_is_waited_for() -> None:
    presence = zone(dwell_s=2).presence()
    inside = walk(presence, (1, 10), (1, 11), (1, 11.5), (1, 12), (0, 12.5), (1, 20), (1, 21))
    assert inside == [False, False, False, True, False, False, False]


def test_a_break_lets_the_dwell_begin_anew() -> None:
    presence = zone(dwell_s=2).presence()
    assert walk(presence, (1, 0), (0.1, 1), (1, 2), (1, 3), (1, 4)) == [False] * 4 + [True]


def test_a_share_between_the_thresholds_is_no_break() -> None:
    presence = zone(min_overlap=0.5, hysteresis=0.25, dwell_s=2).presence()
    assert walk(presence, (0.4, 0), (0.5, 1), (0.3, 2), (0.3, 3)) == [False, False, False, True]


def test_a_missed_detection_or_an_occlusion_is_no_break() -> None:
    waiting, staying = zone(dwell_s=2).presence(), zone().presence()
    assert walk(waiting, (1, 0), (1, 1.75), (1, 2.5)) == [False, False, True]
    assert walk(staying, (1, 0), (1, 60)) == [True, True]
    assert staying.dwell_s(61) == {"bay": 61.0}


def test_the_seconds_spent_have_every_stay_and_the_wait_in_it() -> None:
    presence = zone(dwell_s=2).presence()
    seconds = []
    for share, at_s in [(1, 0), (1, 1), (0, 1.5), (1, 3), (1, 4), (1, 5), (1, 7), (0, 8), (1, 9)]:
        presence.update(np.array([share]), float(at_s))
        seconds.append(presence.dwell_s(at_s + 0.25).get("bay"))
    # The first overlap was no stay; the second is one from 3 to 8; the third waits.
    assert seconds == [None, None, None, None, None, 2.25, 4.25, 5.0, 5.0]
    presence.update(np.array([1.0]), 11.0)
    assert presence.dwell_s(11.5) == {"bay": 7.5}


def test_an_overlap_that_ends_when_its_wait_would_is_no_stay() -> None:
    presence = zone(dwell_s=2).presence()
    assert walk(presence, (1, 0), (0, 2)) == [False, False]
    assert presence.dwell_s(3) == {}


def test_zones_are_in_the_order_of_the_configuration_and_apart() -> None:
    settings = [ZoneSettings(id=name, polygon=WHOLE) for name in ("yard", "bay", "gate")]
    presence = Zones(settings).presence()
    assert presence.update(np.array([0.0, 0.0, 1.0]), 0.0) is True
    assert presence.update(np.array([0.5, 0.0, 1.0]), 1.0) is True
    assert presence.zones == ("yard", "gate")
    assert presence.update(np.array([0.0, 0.5, 1.0]), 2.0) is True  # as many, but others
    assert presence.zones == ("bay", "gate")
    assert presence.dwell_s(3.0) == {"yard": 1.0, "bay": 1.0, "gate": 3.0}


def test_each_object_has_its_own_presence() -> None:
    zones = zone()
    one, other = zones.presence(), zones.presence()
    one.update(np.array([1.0]), 0.0)
    assert (one.zones, other.zones) == (("bay",), ())


def test_a_clock_that_jumps_back_lengthens_no_stay_and_ends_none() -> None:
    presence = zone(dwell_s=2).presence()
    inside = walk(presence, (1, 1000), (1, 1001), (1, 3), (1, 3.5), (1, 4), (1, 4))
    assert inside == [False, False, False, False, True, True]
    assert presence.dwell_s(5) == {"bay": 3.0}
    assert presence.dwell_s(-1e9) == {"bay": 2.0}


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(-1e6, 1e6))),
    st.floats(0, 1),
    st.floats(0, 1),
    st.sampled_from([0.0, 0.5, 1e5]),
)
def test_any_shares_and_times(
    sightings: list[tuple[float, float]], overlap: float, part: float, dwell_s: float
) -> None:
    presence = zone(min_overlap=overlap, hysteresis=overlap * part, dwell_s=dwell_s).presence()
    passed_s, before_s, was = 0.0, None, 0.0
    for share, at_s in sightings:
        walk(presence, (share, at_s))
        passed_s += max(0.0, at_s - before_s) if before_s is not None else 0.0
        before_s = at_s
        assert not (presence.zones and share == 0)
        assert presence.zones or share < overlap or dwell_s > 0 or share == 0
        spent_s = presence.dwell_s(at_s).get("bay", 0.0)
        assert was <= spent_s <= passed_s * (1 + 1e-9)
        was = spent_s
        if presence.zones:
            assert spent_s >= dwell_s
            assert presence.dwell_s(at_s + 8) == {"bay": pytest.approx(spent_s + 8)}
