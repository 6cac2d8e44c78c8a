"""How old events are when the machine was off, and when nobody knows what time it is."""

import pytest
from spooling import Bench, event


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path, max_age_s=3600)
    yield bench
    bench.kill()


def reboot(bench, off_s, *, synced=True, uptime_s=20.0):
    bench.clock.reboot(off_s, uptime_s=uptime_s, synced=synced)
    bench.boot_id += "+"
    bench.restart()
    bench.turn(seconds=0)


def test_event_goes_when_it_is_older_than_the_bound(bench):
    bench.append(event("new", "a"))
    bench.turn()
    bench.clock.move(3590)
    bench.turn()
    assert bench.dropped() == {}
    bench.clock.move(10)
    bench.turn(count=5)
    assert bench.dropped() == {"age": 1}
    assert bench.value("messages") == 0


def test_wall_clock_that_jumps_changes_no_age(bench):
    bench.append(event("new", "a"))
    bench.turn()
    bench.clock.wall_s = 0.0
    bench.turn(count=10)
    bench.clock.wall_s = 4e9
    bench.turn(count=10)
    assert bench.dropped() == {}


def test_age_goes_on_over_a_restart_of_the_process(bench):
    bench.append(event("new", "a"))
    bench.turn()
    bench.clock.move(3000)
    bench.restart()
    bench.turn()
    assert bench.dropped() == {}
    bench.clock.move(601)
    bench.turn()
    assert bench.dropped() == {"age": 1}


def test_time_off_counts_when_the_clock_is_right_on_both_sides(bench):
    bench.append(event("new", "a"))
    bench.turn()
    reboot(bench, off_s=3000)
    assert bench.dropped() == {}
    bench.append(event("new", "b"))
    bench.turn()
    bench.clock.move(580)
    bench.turn()
    assert bench.dropped() == {"age": 1}
    bench.broker.connect(1)
    bench.turn()
    assert bench.broker.told() == [("new b", 1, True)]


def test_time_off_counts_once_the_clock_is_synchronised(bench):
    bench.append(event("new", "a"))
    bench.turn()
    reboot(bench, off_s=7200, synced=False)
    bench.append(event("new", "b"))
    bench.turn(count=8)
    assert bench.dropped() == {}
    bench.clock.true_wall_s += 2.0
    bench.clock.sync()
    bench.turn(count=8)
    assert bench.dropped() == {"age": 1}
    assert bench.value("messages") == 1


def test_time_off_is_remembered_over_further_boots_and_counts_once(bench):
    bench.append(event("new", "a"))
    bench.turn()
    reboot(bench, off_s=1000, synced=False)
    bench.append(event("new", "b"))
    bench.turn()
    # The clock stood at 1970 all the time; 1000 s off, 20.25 s up, 1000 s off, 20 s up.
    bench.clock.wall_s = bench.clock.true_wall_s + 0.25
    reboot(bench, off_s=1000, synced=False)
    bench.clock.sync()
    bench.turn(count=4)
    assert bench.dropped() == {}
    bench.clock.move(1500)
    bench.turn()
    assert bench.dropped() == {}
    bench.clock.move(100)
    bench.turn()
    assert bench.dropped() == {"age": 1}


def test_time_off_that_nobody_can_know_counts_nothing(bench):
    bench.clock.synced = False
    bench.append(event("new", "a"))
    bench.turn()
    reboot(bench, off_s=10**6)
    bench.turn(count=5)
    assert bench.dropped() == {}
    bench.clock.move(3600)
    bench.turn()
    assert bench.dropped() == {"age": 1}


def test_clock_that_was_set_back_between_boots_makes_nothing_younger(bench):
    bench.append(event("new", "a"))
    bench.turn()
    bench.clock.move(3000)
    bench.turn()
    reboot(bench, off_s=-(10**6))
    bench.clock.move(700)
    bench.turn()
    assert bench.dropped() == {"age": 1}
