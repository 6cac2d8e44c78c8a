"""Which frames are told of."""

from typing import Any

from edge.events.summary import ObjectSummary
from edge.frame_policy import FramePolicy


def seen(track_id: int | None = None, label: str = "person", zones: tuple[str, ...] = (), x=1.0):
    return ObjectSummary(label, 1, 0.9, (x, 1, 9, 9), 64, 0.1, (x, 5), 0, track_id, zones)


def told(policy: FramePolicy, *frames: list[Any], step_s: float = 0.1) -> list[int]:
    return [i for i, objects in enumerate(frames) if policy.wants(objects, 100 + i * step_s)]


def test_all_means_all():
    assert told(FramePolicy("all"), [], [], [seen()], [seen()]) == [0, 1, 2, 3]


def test_off_means_none():
    assert told(FramePolicy("off"), [], [seen()]) == []


def test_the_first_frame_is_a_change():
    assert told(FramePolicy("changes"), [], [], []) == [0]


def test_moving_is_no_change():
    assert told(FramePolicy("changes"), [seen(x=1.0)], [seen(x=2.0)]) == [0]


def test_changes_of_number_track_zone_and_label():
    frames = [
        [seen()],
        [seen(), seen()],
        [seen(1), seen()],
        [seen(), seen(1)],  # the same in another order
        [seen(1), seen(2)],
        [seen(1, zones=("bay",)), seen(2)],
        [seen(1, zones=("bay",)), seen(2)],
        [seen(1), seen(2)],
        [seen(1), seen(2, label="dog")],
    ]
    assert told(FramePolicy("changes"), *frames) == [0, 1, 2, 4, 5, 7, 8]


def test_a_change_that_the_rate_holds_back_is_told_later():
    policy = FramePolicy("changes", max_fps=2)
    frames = [[], [seen(1)], [seen(1)], [seen(1)], [seen(1)], [seen(1)], [seen(1)], [seen(1)]]
    assert told(policy, *frames) == [0, 4]
