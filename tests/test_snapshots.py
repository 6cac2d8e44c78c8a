"""When a snapshot is due, what is in it, and who waits for it."""

import threading

import cv2
import numpy as np
import pytest

from edge.clock import Timestamp
from edge.config import CameraSettings
from edge.detections import Detections
from edge.events.summary import summarise
from edge.frame import Frame
from edge.picture import Result
from edge.snapshots import MAX_WIDTH, Snapshots, SnapshotSchedule


def result(
    camera: str = "dock", at_s: float = 0.0, grey: int = 90, size: tuple[int, int] = (360, 640)
) -> Result:
    """A grey frame with one object in its middle."""
    height, width = size
    logits = np.full((1, 54, 54), -5, np.float32)
    logits[0, 18:36, 18:36] = 5
    box = np.array([[width / 3, height / 3, width * 2 / 3, height * 2 / 3]], np.float32)
    found = Detections(np.array([0.9], np.float32), np.array([0]), box, logits, size)
    frame = Frame(camera, 0, Timestamp(0.0, at_s, True), np.full((*size, 3), grey, np.uint8))
    return Result(frame, found, summarise(found, ["person"]).objects)


class Desk:
    """Snapshots of cameras by their setting, and what was published."""

    def __init__(self, **cameras: object) -> None:
        self.published: list[tuple[str, np.ndarray]] = []
        settings = [
            CameraSettings.model_validate(
                {"id": camera, "source": "shapes:", "snapshot": setting}, context={"folder": None}
            )
            for camera, setting in cameras.items()
        ]
        self.snapshots = Snapshots(self._publish)
        self.snapshots.follow(settings)

    def _publish(self, camera: str, jpeg: bytes) -> None:
        self.published.append((camera, cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1)))

    def turn(self) -> None:
        self.snapshots.turn(0)

    @property
    def greys(self) -> list[tuple[str, int]]:
        """Camera and background of what was published."""
        return [(camera, round(float(picture[2, 2].mean()))) for camera, picture in self.published]


def due(schedule: SnapshotSchedule, *frames: tuple[float, bool]) -> list[float]:
    return [at_s for at_s, new_event in frames if schedule.due(at_s, new_event)]


class TestWithEvents:
    def test_a_frame_with_a_new_object_is_pictured_at_once(self) -> None:
        frames = [(10.0, False), (10.1, True), (10.2, False), (12.0, False), (12.1, True)]
        assert due(SnapshotSchedule("events"), *frames) == [10.1, 12.1]

    def test_a_second_lies_between_two_and_the_later_object_is_not_forgotten(self) -> None:
        frames = [(10.0, True), (10.3, True), (10.6, True), (10.9, False), (11.0, False)]
        assert due(SnapshotSchedule("events"), *frames, (11.1, False), (12.5, False)) == [
            10.0,
            11.0,
        ]


class TestWithAPeriod:
    def test_the_first_frame_and_the_first_in_each_period_are_pictured(self) -> None:
        frames = [(100 + n / 10, False) for n in range(65)]
        assert due(SnapshotSchedule(2.0), *frames) == [100.0, 102.0, 104.0, 106.0]

    def test_late_frames_do_not_stretch_the_periods(self) -> None:
        frames = [(at_s, False) for at_s in (0.0, 0.9, 1.8, 2.7, 3.6, 4.5, 5.4)]
        assert due(SnapshotSchedule(1.0), *frames) == [0.0, 1.8, 2.7, 3.6, 4.5, 5.4]

    def test_after_a_gap_one_is_made_and_no_burst(self) -> None:
        frames = [(at_s, False) for at_s in (0.0, 95.0, 96.0, 99.9, 100.0, 101.0)]
        assert due(SnapshotSchedule(10.0), *frames) == [0.0, 95.0, 100.0]


def test_a_camera_without_snapshots_costs_nothing() -> None:
    desk = Desk(dock="none")
    desk.snapshots.offer(result(), new_event=True)
    desk.turn()
    assert desk.published == []


def test_each_camera_has_its_own_setting() -> None:
    desk = Desk(dock="events", gate=5, yard="none")
    for camera in ("yard", "gate", "dock"):
        desk.snapshots.offer(result(camera), new_event=False)
    desk.snapshots.offer(result("dock", at_s=0.1, grey=120), new_event=True)
    for _ in range(3):
        desk.turn()
    assert desk.greys == [("gate", 90), ("dock", 120)]


def test_of_a_camera_the_newest_waits_and_another_camera_keeps_its_turn() -> None:
    desk = Desk(dock=1, gate=1)
    desk.snapshots.offer(result("dock", at_s=1, grey=30), new_event=False)
    desk.snapshots.offer(result("gate", at_s=1, grey=60), new_event=False)
    desk.snapshots.offer(result("dock", at_s=2, grey=120), new_event=False)
    for _ in range(3):
        desk.turn()
    assert desk.greys == [("dock", 120), ("gate", 60)]


@pytest.mark.parametrize(
    ("size", "expected"),
    [((360, 640), (360, 640)), ((1080, 1920), (720, MAX_WIDTH)), ((2160, 3840), (720, MAX_WIDTH))],
)
def test_a_large_frame_is_scaled_down_with_what_is_drawn_on_it(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    desk = Desk(dock=1)
    desk.snapshots.offer(result(size=size), new_event=False)
    desk.turn()
    ((_, picture),) = desk.published
    assert picture.shape == (*expected, 3)
    height, width = expected
    drawn = np.abs(picture.astype(int) - 90).max(axis=2) > 20
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    # The object is the middle third; its label stands above it, lines are a few pixels wide.
    assert drawn[height // 2, width // 2]
    assert columns[0] == pytest.approx(width / 3, abs=8)
    assert rows[-1] == pytest.approx(height * 2 / 3, abs=8)
    assert rows[0] > height / 5


def test_what_a_camera_saw_before_it_was_switched_off_is_not_published() -> None:
    desk = Desk(dock=1, gate=1)
    desk.snapshots.offer(result("dock"), new_event=False)
    desk.snapshots.offer(result("gate"), new_event=False)
    desk.snapshots.clear("dock")
    for _ in range(2):
        desk.turn()
    assert desk.greys == [("gate", 90)]


def test_nor_is_a_picture_that_was_being_made() -> None:
    desk = Desk(dock=1)

    class SwitchesOff(Result):
        def jpeg(self, max_width: int | None = None) -> bytes:
            desk.snapshots.clear("dock")
            return Result.jpeg(self, max_width)

    seen = result()
    desk.snapshots.offer(SwitchesOff(seen.frame, seen.detections, seen.objects), new_event=False)
    desk.turn()
    assert desk.published == []
    desk.snapshots.offer(result(at_s=5), new_event=False)
    desk.turn()
    assert desk.greys == [("dock", 90)]


def test_the_thread_publishes_and_nobody_waits_for_it() -> None:
    publishing, go_on, published = threading.Event(), threading.Event(), threading.Semaphore(0)

    def publish(camera: str, jpeg: bytes) -> None:
        publishing.set()
        assert go_on.wait(20)
        published.release()

    settings = CameraSettings.model_validate(
        {"id": "dock", "source": "shapes:", "snapshot": 1}, context={"folder": None}
    )
    snapshots = Snapshots(publish)
    snapshots.follow([settings])
    stop = threading.Event()
    thread = threading.Thread(target=snapshots.run, args=(stop,))
    thread.start()
    snapshots.offer(result(), new_event=False)
    assert publishing.wait(20)
    for number in range(1, 50):  # none of these waits for the first to be published
        snapshots.offer(result(at_s=float(number)), new_event=False)
    go_on.set()
    assert published.acquire(timeout=20)
    assert published.acquire(timeout=20)
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
    assert not published.acquire(blocking=False)  # 48 were overwritten
