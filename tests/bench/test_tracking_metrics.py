"""The scores of trackers, on videos small enough to count by hand."""

import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[2] / "bench"))
from tracking_metrics import JudgedFrame, TrackingScore, score

A, B = 10, 20  # true objects


def frame(
    tracks: dict[int, int], *wrong: int, truth: tuple[int, ...] = (A, B), ignored: int | None = None
) -> JudgedFrame:
    """``tracks``: the id that each true object is found under; ``wrong``: ids on no object."""
    found = [*tracks.values(), *wrong]
    iou = np.zeros((len(truth), len(found)))
    for path, track in tracks.items():
        iou[truth.index(path), found.index(track)] = 0.8
    return JudgedFrame(truth, [path == ignored for path in truth], found, iou)


def test_a_perfect_tracker_scores_one():
    result = score([frame({A: 1, B: 2})] * 4)
    assert result == TrackingScore(truth=8, found=8, wrong=0, identity=8)
    assert (result.idf1, result.recall, result.precision) == (1, 1, 1)


def test_every_kind_of_mistake_is_counted():
    video = [
        frame({A: 1, B: 2}),
        frame({A: 1}),
        frame({A: 1, B: 2}),  # B was missed: one fragmentation
        frame({A: 1, B: 3}, 9),  # B has another id: one switch; 9 is on nothing
        frame({A: 1, B: 3}),
        frame({A: 1, B: 3}),
    ]
    result = score(video)
    # A under 1 for 6 frames, B under 3 for 3 of its 5.
    assert result == TrackingScore(12, 11, 1, identity=9, switches=1, fragmentations=1)
    assert result.idf1 == 2 * 9 / (12 + 12)
    assert (result.recall, result.precision) == (11 / 12, 11 / 12)


def test_ids_that_change_places_are_two_switches():
    result = score([frame({A: 1, B: 2})] * 3 + [frame({A: 2, B: 1})] * 2)
    assert (result.switches, result.fragmentations, result.identity) == (2, 0, 6)


def test_a_track_that_goes_over_to_another_object_costs_identity_alone():
    result = score([frame({A: 1}, truth=(A,))] * 3 + [frame({B: 1}, truth=(B,))] * 3)
    assert result == TrackingScore(6, 6, 0, identity=3)


def test_ignored_objects_count_neither_way():
    found, missed = frame({A: 1, B: 2}, ignored=B), frame({A: 1}, ignored=B)
    assert score([found, missed, found]) == TrackingScore(3, 3, 0, identity=3)


def test_being_ignored_for_a_while_is_no_fragmentation():
    seen, hidden = frame({A: 1, B: 2}), frame({A: 1}, ignored=B)
    assert score([seen, hidden, hidden, seen]).fragmentations == 0


def test_objects_without_an_id_are_not_there():
    unnamed = JudgedFrame([A], [False], [None], np.array([[0.9]]))
    assert score([unnamed]) == TrackingScore(truth=1)


def test_an_overlap_below_half_is_none():
    far = JudgedFrame([A], [False], [1], np.array([[0.49]]))
    assert score([far]) == TrackingScore(truth=1, wrong=1)


def test_frames_with_nothing_in_them_are_scored():
    empty = JudgedFrame([], [], [], np.zeros((0, 0)))
    assert score([empty]) == score([]) == TrackingScore()
    assert (TrackingScore().idf1, TrackingScore().recall, TrackingScore().precision) == (0, 0, 0)
