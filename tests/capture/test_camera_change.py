"""A camera that gets other settings, leaves the configuration, and comes back."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from scripted_camera import DEADLINE_S, Bench, frames, gated, until

from edge.capture.address import ShapesAddress
from edge.frame import Frame

pytestmark = pytest.mark.timeout(60)


def change(bench: Bench, **settings: Any) -> None:
    bench.camera.change(bench.camera.settings.model_copy(update=settings))


def captured(bench: Bench) -> int:
    return bench.count("frames_captured_total")


def stop(bench: Bench) -> list[Frame]:
    """What waits in the slot; a script that is at its end keeps its thread for ever."""
    bench.camera.stop()
    return bench.slots.drain()


def endless() -> Iterator[object]:
    while True:
        threading.Event().wait(0.002)
        yield "frame"


def test_what_is_not_of_the_source_leaves_it_open():
    bench = Bench(endless)
    bench.camera.start()
    until(lambda: captured(bench) > 3)
    change(bench, max_fps=0.001)
    until(lambda: bench.dropped("rate") > 3)
    change(bench, max_fps=None)
    rated = bench.dropped("rate")
    until(lambda: captured(bench) > rated + 10)
    assert len(bench.sources) == 1
    assert bench.camera.wanted_from[0] == 0
    bench.stop()


def test_with_another_source_the_old_one_is_closed_first_and_ids_go_on():
    gate = threading.Semaphore(0)
    bench = Bench(gated(gate), frames(1))
    bench.camera.start()
    gate.release()
    until(lambda: not bench.slots["cam"].empty)
    change(bench, source=ShapesAddress(seed=9))
    assert bench.camera.wanted_from == (1, "removed")
    assert bench.slots["cam"].empty
    bench.camera.supervise(0.0)
    assert len(bench.sources) == 1, "two at a time"
    gate.release()
    until(lambda: bench.sources[0].closed_by is not None)
    bench.camera.join(0.1)
    bench.camera.supervise(0.0)
    until(lambda: not bench.slots["cam"].empty)
    assert bench.first_ids == [0, 1]
    assert bench.count("camera_reconnects_total") == 0
    assert [frame.id for frame in stop(bench)] == [1]
    assert captured(bench) == bench.all_dropped() + 1


def test_what_was_captured_before_an_area_was_ignored_is_not_told_of():
    bench = Bench(frames(2))
    bench.camera.start()
    until(lambda: captured(bench) == 2)
    change(bench, ignore=[((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))])
    assert bench.camera.wanted_from == (2, "removed")
    stop(bench)


def test_one_that_left_has_closed_its_source_and_counts_on_when_it_comes_back():
    gate = threading.Semaphore(0)
    bench = Bench(gated(gate), frames(1))
    bench.camera.start()
    gate.release()
    until(lambda: not bench.slots["cam"].empty)
    bench.camera.retire()
    gate.release()
    assert bench.camera.join(DEADLINE_S)
    assert bench.sources[0].closed_by == "capture-cam"
    assert bench.slots["cam"].empty
    assert bench.dropped("disabled") == 1
    bench.camera.supervise(0.0)
    assert len(bench.sources) == 1, "it came back by itself"
    bench.camera.start()
    until(lambda: not bench.slots["cam"].empty)
    assert [frame.id for frame in stop(bench)] == [1]


def test_one_that_is_switched_off_stays_so_with_other_settings():
    bench = Bench(frames(1))
    bench.camera.disable()
    bench.camera.start()
    change(bench, source=ShapesAddress(seed=9))
    assert bench.camera.reason == "switched off"
    assert bench.sources == []
    bench.camera.enable()
    until(lambda: captured(bench) == 1)
    stop(bench)
