"""The handover from the capture threads to the inference loop."""

import threading
import time

import numpy as np

from edge.capture.slot import FrameSlot, FrameSlots
from edge.clock import Timestamp
from edge.frame import Frame


def frame(camera: str, number: int) -> Frame:
    return Frame(camera, number, Timestamp(0.0, 0.0, True), np.zeros((2, 2, 3), np.uint8))


def test_newest_frame_wins_and_the_overwritten_one_is_returned() -> None:
    slot = FrameSlot()
    first, second = frame("a", 0), frame("a", 1)
    assert slot.put(first) is None
    assert slot.put(second) is first
    assert slot.take() is second
    assert slot.take() is None


def test_a_camera_that_always_has_a_frame_cannot_starve_another() -> None:
    slots = FrameSlots(["busy", "slow", "third"])
    served = []
    slots["busy"].put(frame("busy", 0))
    slots["slow"].put(frame("slow", 0))
    slots["third"].put(frame("third", 0))
    for number in range(1, 7):
        taken = slots.take(0)
        assert taken is not None
        served.append(taken.camera)
        slots["busy"].put(frame("busy", number))
        if number == 3:
            slots["slow"].put(frame("slow", 1))
    assert served == ["busy", "slow", "third", "busy", "slow", "busy"]


def test_take_waits_for_a_frame_of_any_camera() -> None:
    slots = FrameSlots(["a", "b"])
    started = threading.Event()

    def deliver() -> None:
        started.wait()
        slots["b"].put(frame("b", 4))

    thread = threading.Thread(target=deliver)
    thread.start()
    started.set()
    taken = slots.take(timeout_s=10)
    thread.join()
    assert taken is not None
    assert (taken.camera, taken.id) == ("b", 4)


def test_take_gives_up_after_its_timeout() -> None:
    started = time.monotonic()
    assert FrameSlots(["a"]).take(timeout_s=0.05) is None
    assert 0.05 <= time.monotonic() - started < 5


def test_drain_empties_all_slots() -> None:
    slots = FrameSlots(["a", "b", "c"])
    slots["a"].put(frame("a", 3))
    slots["c"].put(frame("c", 5))
    assert [(f.camera, f.id) for f in slots.drain()] == [("a", 3), ("c", 5)]
    assert slots.drain() == []


def test_a_slot_is_waited_for_until_the_consumer_has_emptied_it() -> None:
    slots = FrameSlots(["a"])
    stop = threading.Event()
    slots["a"].put(frame("a", 0))
    overwritten: list[Frame | None] = []

    def produce() -> None:
        for number in (1, 2, 3):
            assert slots["a"].wait_empty(stop)
            overwritten.append(slots["a"].put(frame("a", number)))

    thread = threading.Thread(target=produce)
    thread.start()
    ids = []
    for _ in range(4):
        taken = slots.take(timeout_s=10)
        assert taken is not None
        ids.append(taken.id)
    thread.join(10)
    assert ids == [0, 1, 2, 3]
    assert overwritten == [None, None, None]


def test_waiting_for_an_empty_slot_ends_when_told_to_stop() -> None:
    slot = FrameSlot()
    stop = threading.Event()
    slot.put(frame("a", 0))
    empty: list[bool] = []
    thread = threading.Thread(target=lambda: empty.append(slot.wait_empty(stop)))
    thread.start()
    stop.set()
    slot.wake()
    thread.join(10)
    assert empty == [False]
    waiting = slot.take()
    assert waiting is not None
    assert waiting.id == 0


def test_a_camera_is_done_once_each_of_its_frames_is() -> None:
    slots = FrameSlots(["a", "b"])
    assert slots.all_done("a")
    slots["a"].put(frame("a", 0))
    assert not slots.all_done("a")
    slots.take(0)  # neither in the slot nor through
    slots["a"].put(frame("a", 1))
    slots.take(0)
    slots["b"].put(frame("b", 0))
    slots.done("a")
    assert not slots.all_done("a")
    slots.done("a")
    assert slots.all_done("a")
    assert not slots.all_done("b")


def test_a_frame_between_slot_and_report_is_never_overlooked() -> None:
    slots = FrameSlots(["a"])
    stop = threading.Event()
    seen_done: list[bool] = []

    def look() -> None:
        while not stop.is_set():
            seen_done.append(slots.all_done("a"))

    slots["a"].put(frame("a", 0))
    watcher = threading.Thread(target=look)
    watcher.start()
    for number in range(1, 2000):
        assert slots.take(0) is not None
        slots["a"].put(frame("a", number))
        slots.done("a")
    stop.set()
    watcher.join(10)
    assert seen_done
    assert not any(seen_done)
