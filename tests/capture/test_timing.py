"""Pace, rate cap and backoff, on clocks of their own."""

import random
from collections.abc import Iterator
from itertools import pairwise

import pytest

from edge.capture.timing import Backoff, Pace, RateCap


class FakeTime:
    """Stands still but for waits and the work that a test pretends to do."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float] = []

    def wait(self, seconds: float) -> None:
        self.waits.append(round(seconds, 9))
        self.now += seconds


def test_pace_keeps_the_source_s_own_time() -> None:
    time = FakeTime()
    pace = Pace(time.wait, lambda: time.now)
    for gap_s in (0.04, 0.04, 0.1, 0.04):
        pace.step(gap_s)
        time.now += 0.01  # decoding
    assert time.waits == [0.03, 0.09, 0.03]


def test_pace_slips_when_late_and_does_not_catch_up() -> None:
    time = FakeTime()
    pace = Pace(time.wait, lambda: time.now)
    pace.step(0.1)
    time.now += 0.35
    pace.step(0.1)  # late by 0.25 s: at once
    pace.step(0.1)
    pace.step(0.1)
    assert time.waits == [0.1, 0.1]


def kept(max_fps: float, times: Iterator[float]) -> list[float]:
    cap = RateCap(max_fps)
    return [round(t, 3) for t in times if cap.allows(t)]


def test_rate_cap_spaces_frames_evenly() -> None:
    assert kept(5, (n / 30 for n in range(31))) == [0, 0.167, 0.367, 0.567, 0.767, 0.967]
    gaps = [b - a for a, b in _pairs(kept(10, (n / 25 for n in range(251))))]
    assert {round(gap, 3) for gap in gaps} == {0.08, 0.12}
    assert sum(gaps) / len(gaps) == pytest.approx(0.1, rel=0.02)


def test_rate_cap_keeps_all_of_a_camera_as_fast_as_the_cap() -> None:
    jitter = random.Random(1)
    times = [n / 10 + jitter.uniform(-0.01, 0.01) for n in range(200)]
    assert len(kept(10, iter(times))) >= 199


def test_rate_cap_holds_its_average_over_a_jittering_camera() -> None:
    jitter = random.Random(2)
    times = sorted(n / 30 + jitter.uniform(0, 0.03) for n in range(3000))
    assert len(kept(7, iter(times))) <= 7 * 100 + 1


def test_rate_cap_makes_up_for_no_pause() -> None:
    times = [0.0, *(10 + n / 30 for n in range(31))]
    assert len(kept(5, iter(times))) <= 1 + 6


def _pairs(times: list[float]) -> Iterator[tuple[float, float]]:
    return pairwise(times)


class NoJitter(random.Random):
    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


def test_backoff_doubles_from_one_second_to_a_minute() -> None:
    backoff = Backoff(NoJitter())
    assert [backoff.next_s() for _ in range(9)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    backoff.reset()
    assert backoff.next_s() == 1


def test_backoff_spreads_by_a_fifth() -> None:
    delays = [Backoff(random.Random(seed)).next_s() for seed in range(200)]
    assert 0.8 <= min(delays) < 0.85
    assert 1.15 < max(delays) <= 1.2


def test_backoff_survives_years_of_failures() -> None:
    backoff = Backoff(NoJitter())
    assert max(backoff.next_s() for _ in range(5000)) == 60
