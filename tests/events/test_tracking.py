"""Tracks of objects that are drawn by hand: rectangles on a grid of 54 cells in 640 x 360."""

import math
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.events.summary import ObjectSummary
from edge.events.tracking import Track, TrackedFrame, Tracker

GRID = 54
SIZE = (360, 640)
LABELS = ["person", "car", "dog"]
Box = tuple[float, float, float, float]  # in fractions of the frame


def thing(box: Box, label: str = "person", score: float = 0.9) -> tuple[Box, str, float]:
    return box, label, score


def square(x: float, y: float, side: float = 0.15) -> Box:
    """Around a middle, equally high and wide in pixels, cut off at the frame's borders."""
    half_x, half_y = side * SIZE[0] / SIZE[1] / 2, side / 2
    return max(x - half_x, 0.0), max(y - half_y, 0.0), min(x + half_x, 1.0), min(y + half_y, 1.0)


def observed(
    things: Iterable[tuple[Box, str, float]], size: tuple[int, int], grid: int = GRID
) -> tuple[list[ObjectSummary], np.ndarray]:
    objects, masks = [], []
    centres = (np.arange(grid) + 0.5) / grid
    for n, ((x1, y1, x2, y2), label, score) in enumerate(things):
        inside = ((centres >= y1) & (centres < y2))[:, None] & (centres >= x1) & (centres < x2)
        masks.append(np.where(inside, 5, -5))
        box = (x1 * size[1], y1 * size[0], x2 * size[1], y2 * size[0])
        objects.append(
            ObjectSummary(label, LABELS.index(label), score, box, 100, 0.01, (0.0, 0.0), n)
        )
    return objects, np.array(masks, np.float32).reshape(-1, grid, grid)


class Scene:
    """A tracker, and the time."""

    def __init__(self, confirm_frames: int = 3, lost_after_s: float = 2.0, fps: float = 10) -> None:
        self.tracker, self.fps, self.at_s = Tracker(confirm_frames, lost_after_s), fps, 100.0

    def see(
        self,
        *things: tuple[Box, str, float],
        after_s: float | None = None,
        size: tuple[int, int] = SIZE,
        grid: int = GRID,
    ) -> TrackedFrame:
        self.at_s += 1 / self.fps if after_s is None else after_s
        return self.tracker.update(*observed(things, size, grid), size, self.at_s)

    def ids(
        self, *things: tuple[Box, str, float], after_s: float | None = None
    ) -> list[int | None]:
        return ids(self.see(*things, after_s=after_s))


def ids(frame: TrackedFrame) -> list[int | None]:
    return [None if track is None else track.id for track in frame.tracks]


STANDING = thing(square(0.5, 0.5))


def test_an_object_has_an_id_from_the_frame_that_confirms_it():
    scene = Scene(confirm_frames=3)
    assert [scene.ids(STANDING) for _ in range(4)] == [[None], [None], [1], [1]]


def test_one_frame_can_be_enough():
    assert Scene(confirm_frames=1).ids(STANDING) == [1]


def test_a_track_is_the_same_before_and_after_its_confirmation():
    scene = Scene(confirm_frames=2)
    first, second = scene.see(STANDING).tracks[0], scene.see(STANDING).tracks[0]
    assert isinstance(first, Track)
    assert first is second
    assert first.confirmed


def test_a_moving_object_keeps_its_id_at_any_frame_rate():
    for fps in (0.1, 5, 15, 30, 240):
        scene = Scene(confirm_frames=1, fps=fps)
        step = min(0.25 / fps, 0.05)  # of the frame's width
        assert [scene.ids(thing(square(0.2 + step * n, 0.5))) for n in range(12)] == [[1]] * 12


def test_crossing_objects_keep_their_ids():
    scene = Scene(confirm_frames=1, fps=15)
    for n in range(40):
        x = 0.1 + 0.02 * n
        right, left = thing(square(x, 0.47)), thing(square(1 - x, 0.53))
        assert scene.ids(right, left) == [1, 2]


def test_an_object_that_a_pillar_hides_returns_with_its_id():
    scene = Scene(confirm_frames=3, fps=15)
    pillar = thing((0.44, 0.0, 0.56, 1.0), "car")

    def walker(n: int) -> list[tuple[Box, str, float]]:
        x1, y1, x2, y2 = square(0.15 + 0.01 * n, 0.5, side=0.1)
        visible = (x1, min(x2, 0.44)) if x1 < 0.44 else (max(x1, 0.56), x2)
        return [thing((visible[0], y1, visible[1], y2))] if visible[1] - visible[0] > 0.03 else []

    seen = [scene.ids(pillar, *walker(n)) for n in range(75)]
    away = [n for n, frame in enumerate(seen) if len(frame) == 1]
    assert len(away) > 0.5 * scene.fps
    assert seen[2 : away[0]] == [[1, 2]] * (away[0] - 2)
    # After so long it is to be seen as often as a new object before it has its id again.
    assert seen[away[-1] + 1 : away[-1] + 3] == [[1, None]] * 2
    assert seen[away[-1] + 3 :] == [[1, 2]] * (75 - away[-1] - 3)


def test_a_missed_frame_costs_nothing():
    scene = Scene(confirm_frames=2, fps=5)
    assert [scene.ids(STANDING) for _ in range(2)] == [[None], [1]]
    assert scene.see().lost == []
    assert scene.ids(STANDING) == [1]


def test_a_track_that_is_not_confirmed_survives_one_missed_frame_and_no_second_one():
    scene = Scene(confirm_frames=3)
    scene.see(STANDING)
    scene.see()
    assert [scene.ids(STANDING) for _ in range(2)] == [[None], [1]]

    scene = Scene(confirm_frames=3)
    (track,) = scene.see(STANDING).tracks
    assert scene.see().lost == []
    assert scene.see().lost == [track]
    assert [scene.ids(STANDING) for _ in range(3)] == [[None], [None], [1]]


def test_a_track_is_lost_in_the_first_frame_after_lost_after_s():
    scene = Scene(confirm_frames=1, lost_after_s=2.0)
    track = scene.see(STANDING).tracks[0]
    assert scene.see(after_s=1.0).lost == []
    assert scene.see(after_s=1.0).lost == []
    assert scene.see(after_s=0.125).lost == [track]
    assert scene.see(after_s=1.0).lost == []


def test_an_id_is_never_used_again():
    scene = Scene(confirm_frames=1)
    assert scene.ids(STANDING) == [1]
    scene.see(after_s=60)
    assert scene.ids(STANDING) == [2]
    scene.tracker.clear()
    assert scene.ids(STANDING) == [3]


def test_clear_drops_everything():
    scene = Scene(confirm_frames=2)
    scene.see(STANDING)
    scene.see(STANDING, thing(square(0.2, 0.2)))
    scene.tracker.clear()
    assert scene.see(after_s=60).lost == []
    assert scene.ids(STANDING) == [None]


def test_a_duplicate_has_no_track():
    scene = Scene(confirm_frames=1)
    twice = [thing(square(0.5, 0.5), "dog", 0.6), thing(square(0.505, 0.5), "person", 0.9)]
    assert scene.ids(*twice) == [None, 1]


def test_of_duplicates_the_one_that_fits_the_track_is_kept():
    scene = Scene(confirm_frames=2)
    scene.see(thing(square(0.5, 0.5), "dog", 0.6))
    scene.see(thing(square(0.5, 0.5), "dog", 0.6))
    both = thing(square(0.5, 0.5), "person", 0.9), thing(square(0.5, 0.5), "dog", 0.6)
    assert scene.ids(*both) == [None, 1]


def test_neighbours_that_overlap_are_no_duplicates():
    scene = Scene(confirm_frames=1)
    assert scene.ids(thing(square(0.5, 0.5)), thing(square(0.56, 0.5))) == [1, 2]


def test_the_label_is_voted_by_score_and_fixed_when_the_track_is_confirmed():
    scene = Scene(confirm_frames=3)
    votes = [("dog", 0.55), ("person", 0.95), ("dog", 0.51), ("person", 0.9), ("person", 0.9)]
    tracks = [scene.see(thing(square(0.5, 0.5), *vote)).tracks[0] for vote in votes]
    assert all(track is tracks[0] for track in tracks)
    track = tracks[0]
    assert track is not None
    assert (track.label, track.class_id) == ("dog", LABELS.index("dog"))  # 1.06 to 0.95 at frame 3


def test_of_two_objects_on_the_way_the_one_with_the_label_is_taken():
    scene = Scene(confirm_frames=1)
    assert scene.ids(thing(square(0.5, 0.5), "car")) == [1]
    person, car = thing(square(0.515, 0.5)), thing(square(0.465, 0.5), "car")
    assert scene.ids(person, car) == [2, 1]


def test_a_flickering_label_does_not_break_a_track():
    scene = Scene(confirm_frames=1)
    labels = ["dog", "person"] * 6
    assert [scene.ids(thing(square(0.5, 0.5), label)) for label in labels] == [[1]] * 12


@pytest.mark.parametrize("gap_s", [10.0, 600.0, 1e6])
def test_an_object_that_has_not_moved_keeps_its_id_over_a_gap(gap_s: float):
    scene = Scene(confirm_frames=2)
    for n in range(10):
        scene.see(thing(square(0.3 + 0.01 * n, 0.5)))
    assert scene.ids(thing(square(0.39, 0.5)), after_s=gap_s) == [1]
    assert scene.ids(thing(square(0.39, 0.5)), after_s=gap_s) == [1]


def test_a_frame_every_ten_seconds_is_enough():
    scene = Scene(confirm_frames=3, fps=0.1)
    assert [scene.ids(STANDING) for _ in range(5)] == [[None], [None], [1], [1], [1]]


def test_another_resolution_of_the_same_picture_changes_nothing():
    scene = Scene(confirm_frames=1)
    sizes = [(360, 640), (1080, 1920), (2160, 3840), (90, 160)]
    for n in range(12):
        walker = thing(square(0.2 + 0.02 * n, 0.5))
        assert ids(scene.see(walker, size=sizes[n % 4])) == [1]


@pytest.mark.parametrize("grid", [20, 54, 108, 192])
def test_every_model_s_mask_grid_serves(grid: int):
    scene = Scene(confirm_frames=1)
    for n in range(12):
        walker = thing(square(0.2 + 0.02 * n, 0.5))
        assert ids(scene.see(walker, thing(square(0.5, 0.1)), grid=grid)) == [1, 2]


def test_a_clock_that_stands_or_goes_back_breaks_nothing():
    scene = Scene(confirm_frames=2, lost_after_s=2.0)
    assert scene.ids(STANDING) == [None]
    assert scene.ids(STANDING, after_s=0.0) == [1]
    assert scene.ids(STANDING, after_s=-50.0) == [1]
    scene.see(after_s=-10.0)
    assert [track.id for track in scene.see(after_s=2.5).lost] == [1]


def test_objects_come_in_from_the_border_under_one_id():
    scene = Scene(confirm_frames=1, fps=15)
    for n in range(40):
        assert scene.ids(thing(square(0.01 + 0.015 * n, 0.5, side=0.3))) == [1]


@pytest.mark.parametrize("shape", [(0, 54, 54), (0, 0, 0)])
def test_a_frame_without_objects_needs_no_masks(shape: tuple[int, int, int]):
    scene = Scene(confirm_frames=1)
    nothing = np.zeros(shape, np.float32)
    assert scene.tracker.update([], nothing, SIZE, scene.at_s) == ([], [])
    assert scene.ids(STANDING) == [1]
    assert scene.tracker.update([], nothing, SIZE, scene.at_s + 1) == ([], [])


def test_a_hundred_objects_are_told_apart():
    scene = Scene(confirm_frames=1, fps=15)
    grid = [(0.05 + 0.1 * i, 0.05 + 0.1 * j) for i in range(10) for j in range(10)]
    for n in range(10):
        seen = [thing(square(x + 0.002 * n, y, side=0.06)) for x, y in grid]
        assert scene.ids(*seen) == list(range(1, 101))


boxes = st.tuples(*[st.floats(0, 1)] * 4).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)
things = st.tuples(boxes, st.sampled_from(LABELS), st.floats(0.01, 1.0))
steps = st.one_of(st.sampled_from([0.0, 0.03, 0.2, 1.0]), st.floats(-5, 100))


@settings(max_examples=150, deadline=None)
@given(
    confirm_frames=st.integers(1, 4),
    lost_after_s=st.sampled_from([0.1, 2.0]),
    frames=st.lists(st.tuples(steps, st.lists(things, max_size=6)), max_size=25),
    clear_at=st.integers(0, 40),
)
def test_any_stream_keeps_the_rules(
    confirm_frames: int,
    lost_after_s: float,
    frames: list[tuple[float, list[tuple[Box, str, float]]]],
    clear_at: int,
) -> None:
    scene = Scene(confirm_frames, lost_after_s)
    gone: set[Track] = set()
    known: dict[int, Track] = {}
    name: dict[Track, tuple[int | None, str, int]] = {}
    sightings: dict[Track, int] = {}
    for number, (step_s, seen) in enumerate(frames):
        if number == clear_at:
            gone.update(sightings)
            scene.tracker.clear()
        frame = scene.see(*seen, after_s=step_s)
        assert len(frame.tracks) == len(seen)
        tracks = [track for track in frame.tracks if track is not None]
        assert len(set(tracks)) == len(tracks)  # no two objects of a frame are of one track
        assert not gone & {*tracks, *frame.lost}  # what is lost never returns
        assert not set(tracks) & set(frame.lost)
        for track in tracks:
            sightings[track] = sightings.get(track, 0) + 1
            assert track.last_seen_s == scene.at_s
            assert all(map(math.isfinite, track.motion.displacement(1.0)))
            assert track.confirmed == (sightings[track] >= confirm_frames or track in name)
            if track.id is not None:
                assert known.setdefault(track.id, track) is track
                now = track.id, track.label, track.class_id
                assert name.setdefault(track, now) == now
        for track in frame.lost:
            assert not track.confirmed or scene.at_s - track.last_seen_s > lost_after_s
        gone.update(frame.lost)
    assert sorted(known) == list(range(1, len(known) + 1))  # counted from 1, none left out
