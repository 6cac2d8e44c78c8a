"""The governor on boards made of numbers: it settles, does not flap, and gives everything back."""

import logging
import random
from itertools import pairwise

import pytest

from edge.clock import Clock
from edge.inference.pace import Pace
from edge.jetson.governor import Governor
from edge.jetson.strain import NEAR_C, Strain

TRIP_C = 99.0
HOUR_S = 3600


class Rig:
    """A governor and the pace it sets, and cameras that deliver ``wanted_per_s`` frames.

    ``strain`` is how the board is until told otherwise; ``changes`` are the caps in turn, with when
    they were set.
    """

    def __init__(self, wanted_per_s: float = 30.0) -> None:
        self.pace = Pace(Clock())
        self.governor = Governor(self.pace, self.look)
        self.wanted_per_s = wanted_per_s
        self.strain = Strain()
        self.now_s, self._part = 1000.0, 0.0
        self.changes: list[tuple[float, float | None]] = []

    def look(self, now_s: float) -> Strain:
        assert now_s == self.now_s
        return self.strain

    @property
    def rate_per_s(self) -> float:
        cap_per_s = self.pace.cap_per_s
        return self.wanted_per_s if cap_per_s is None else min(self.wanted_per_s, cap_per_s)

    def second(self) -> None:
        before = self.pace.cap_per_s
        self.now_s += 1.0
        frames, self._part = divmod(self._part + self.rate_per_s, 1.0)
        self.pace.taken += int(frames)
        self.governor.turn(self.now_s)
        if self.pace.cap_per_s != before:
            self.changes.append((self.now_s, self.pace.cap_per_s))
        assert (self.governor.degraded == "") == (self.pace.cap_per_s is None)

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.second()

    @property
    def caps(self) -> list[float | None]:
        return [None if cap is None else round(cap, 1) for _, cap in self.changes]


def at(celsius: float, *, throttles: bool = False) -> Strain:
    hottest = f"GPU at {celsius:.1f} °C, throttling at 99"
    bad = throttles or celsius >= TRIP_C - NEAR_C
    return Strain(hottest if bad else "", throttles, False, hottest, celsius, TRIP_C - celsius)


def by_current() -> Strain:
    reason = "throttled by instantaneous over-current (oc3)"
    return Strain(reason, True, True, "GPU at 60.0 °C, throttling at 99", 60.0, 39.0)


class TestLowering:
    def test_nothing_happens_to_a_cool_board(self):
        rig = Rig()
        rig.strain = at(60.0)
        rig.run(HOUR_S)
        assert rig.changes == []

    def test_near_the_trip_point_a_quarter_of_the_rate_is_taken_away(self):
        rig = Rig(wanted_per_s=16.0)
        rig.strain = at(60.0)
        rig.run(30)
        rig.strain = at(94.5)
        rig.second()
        assert rig.caps == [12.0]
        assert rig.governor.degraded == (
            "GPU at 94.5 °C, throttling at 99: inference lowered to 12.0 frames/s"
        )

    def test_a_step_has_fifteen_seconds_to_show(self):
        rig = Rig()
        rig.run(30)
        rig.strain = at(99.5, throttles=True)
        rig.run(46)
        times = [time for time, _ in rig.changes]
        assert [later - earlier for earlier, later in pairwise(times)] == [15.0, 15.0, 15.0]
        assert rig.caps == [22.5, 16.9, 12.7, 9.5]

    def test_a_board_that_cools_is_not_lowered_further_unless_it_throttles(self):
        rig = Rig()
        rig.run(30)
        rig.strain = at(98.0)
        rig.second()
        for _ in range(8):
            rig.strain = at((rig.strain.celsius or 0) - 0.5)
            rig.run(15)
        assert len(rig.changes) == 1
        rig.run(15)
        assert len(rig.changes) == 2, "it stays near its trip point"

    def test_it_stops_at_one_frame_a_second(self):
        rig = Rig()
        rig.run(30)
        rig.strain = at(103.0, throttles=True)
        rig.run(HOUR_S)
        assert rig.caps[-1] == 1.0
        assert len(rig.caps) == 12

    def test_cameras_that_deliver_next_to_nothing_are_left_alone(self):
        rig = Rig(wanted_per_s=0.5)
        rig.strain = at(97.0)
        rig.run(HOUR_S)
        assert rig.changes == []

    def test_over_current_takes_half_of_the_rate_at_most(self):
        rig = Rig()
        rig.run(30)
        rig.strain = by_current()
        rig.run(HOUR_S)
        assert rig.caps == [22.5, 16.9, 15.0]

    def test_each_change_is_logged_once(self, caplog):
        caplog.set_level(logging.INFO, "edge.jetson.governor")
        rig = Rig()
        rig.run(30)
        rig.strain = at(95.0)
        rig.run(14)
        rig.strain = at(60.0)
        rig.run(120)
        assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
            (
                "WARNING",
                "GPU at 95.0 °C, throttling at 99: inference lowered to 22.5 frames/s",
            ),
            ("INFO", "GPU at 60.0 °C, throttling at 99: inference raised to 33.8 frames/s"),
            ("INFO", "GPU at 60.0 °C, throttling at 99: inference at its full rate again"),
        ]


class TestRecovering:
    def test_between_near_and_cool_nothing_changes(self):
        rig = Rig()
        rig.run(30)
        rig.strain = at(95.0)
        rig.second()
        for celsius in (93.0, 89.5, 92.0):
            rig.strain = at(celsius)
            rig.run(HOUR_S)
        assert rig.caps == [22.5]

    def test_cool_for_half_a_minute_brings_a_tenth_back(self):
        rig = Rig()
        rig.run(30)
        rig.strain = at(95.0)
        rig.run(2)
        rig.strain = at(88.0)
        rig.run(20)
        rig.strain = at(90.0)  # the wait begins anew
        rig.second()
        rig.strain = at(88.0)
        rig.run(30)
        assert rig.caps == [22.5]
        rig.second()
        assert rig.caps == [22.5, 24.8]
        rig.run(30)
        assert rig.caps == [22.5, 24.8, 27.2]

    def test_the_cap_is_lifted_once_nobody_is_held_back_by_it(self):
        rig = Rig()
        rig.run(30)
        rig.strain = at(95.0)
        rig.run(2)
        rig.strain = at(88.0)
        rig.run(300)
        assert rig.caps == [22.5, 24.8, 27.2, 29.9, 32.9, 36.2, None]
        assert rig.governor.degraded == ""

    def test_a_slow_camera_under_the_lowest_cap_keeps_it_while_it_binds(self):
        rig = Rig(wanted_per_s=1.3)
        rig.run(30)
        rig.strain = at(95.0)
        rig.second()
        assert rig.caps == [1.0]
        rig.strain = at(60.0)
        rig.run(40)
        assert rig.caps == [1.0, 1.5], "a cap that was in full use is not lifted at once"

    def test_a_step_up_that_is_too_much_is_taken_back_and_waited_for_longer(self):
        rig = Rig()
        rig.run(30)
        rig.strain = at(95.0)
        rig.run(2)
        for wait_s in (30, 60, 120, 240, 480, 960, 960):
            rig.strain = at(88.0)
            rig.run(wait_s)
            assert rig.caps[-1] == 22.5
            rig.second()
            assert rig.caps[-1] == 24.8
            rig.run(15)
            rig.strain = at(94.0)
            rig.second()
            assert rig.caps[-1] == 22.5

    def test_a_step_up_is_taken_back_also_while_the_measured_rate_has_not_caught_up(self):
        rig = Rig()
        rig.run(30)
        rig.strain = at(95.0)
        rig.run(2)
        rig.strain = at(88.0)
        rig.run(31)
        rig.strain = at(94.0)
        rig.second()
        assert rig.caps == [22.5, 24.8, 22.5]

    def test_a_very_cool_board_is_not_made_to_wait(self):
        rig = Rig()
        rig.run(30)
        rig.strain = at(103.0, throttles=True)
        rig.run(HOUR_S)
        rig.strain = at(50.0)
        rig.run(330)
        assert rig.caps[-1] is None

    def test_sensors_that_vanish_do_not_hold_the_cap(self):
        rig = Rig()
        rig.run(30)
        rig.strain = at(95.0)
        rig.second()
        rig.strain = Strain()
        rig.run(600)
        assert rig.caps[-1] is None


class ThermalBoard(Rig):
    """A die on a heat sink in a room: frames heat it, with a delay of ``tau_s``.

    At 30 frames a second it would come to ``full_c`` above the room; at the trip point the kernel
    halves its speed.
    """

    def __init__(self, room_c: float, tau_s: float, full_c: float = 60.0, noise_c: float = 0.3):
        super().__init__()
        self.room_c, self.tau_s, self.full_c, self.noise_c = room_c, tau_s, full_c, noise_c
        self._sink_c = room_c + 10.0
        self._random = random.Random(1)
        self._throttles = False
        self.hottest_c = 0.0

    @property
    def rate_per_s(self) -> float:
        return super().rate_per_s / (2 if self._throttles else 1)

    def look(self, now_s: float) -> Strain:
        load = self.rate_per_s / 30.0
        target_c = self.room_c + 10.0 + (self.full_c - 20.0) * load
        self._sink_c += (target_c - self._sink_c) / self.tau_s
        die_c = self._sink_c + 10.0 * load
        self.hottest_c = max(self.hottest_c, die_c)
        self._throttles = die_c >= TRIP_C
        shown_c = die_c + self._random.uniform(-self.noise_c, self.noise_c)
        return at(shown_c, throttles=self._throttles)


ROOMS = [
    (room_c, tau_s, noise_c)
    for room_c in (35.0, 40.0, 45.0, 50.0, 60.0, 75.0)
    for tau_s, noise_c in ((20.0, 0.3), (120.0, 1.5), (1800.0, 0.3))
]


@pytest.mark.parametrize(("room_c", "tau_s", "noise_c"), ROOMS)
def test_a_hot_board_settles_and_recovers_when_the_room_cools(room_c, tau_s, noise_c):
    board = ThermalBoard(room_c, tau_s, noise_c=noise_c)
    board.run(4 * HOUR_S)
    assert 1 <= len(board.changes) <= 20
    assert board.changes[-1][0] < board.now_s - HOUR_S, "it still flaps after three hours"
    assert None not in board.caps, "it was let go while the room was hot"
    assert board.governor.degraded
    assert board.rate_per_s >= 1.0
    settled = len(board.changes)
    board.room_c = 25.0
    board.run(HOUR_S)
    assert board.caps[-1] is None
    assert board.caps.count(None) == 1
    caps = [cap for cap in board.caps[settled:] if cap is not None]
    assert caps == sorted(caps), "it went down while the room cooled"


def test_a_board_with_enough_cooling_is_never_lowered():
    board = ThermalBoard(room_c=25.0, tau_s=120.0)
    board.run(4 * HOUR_S)
    assert board.changes == []


def test_without_the_governor_that_board_would_throttle():
    board = ThermalBoard(room_c=45.0, tau_s=120.0)
    board.run(2 * HOUR_S)
    assert board.hottest_c < TRIP_C
    free = ThermalBoard(room_c=45.0, tau_s=120.0)
    for second in range(2 * HOUR_S):
        free.look(float(second))
    assert free.hottest_c >= TRIP_C
