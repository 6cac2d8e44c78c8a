"""Where the capture threads leave their newest frame for the inference loop."""

import threading
import time
from collections import Counter
from collections.abc import Iterable

from edge.frame import Frame


class FrameSlot:
    """Holds one frame of one camera; the newest wins. Any thread may call any method."""

    def __init__(self, changed: threading.Condition | None = None) -> None:
        self._changed = changed or threading.Condition()
        self._frame: Frame | None = None

    def put(self, frame: Frame) -> Frame | None:
        """Leave ``frame``; returns the one that it overwrites, which nobody will see."""
        with self._changed:
            overwritten, self._frame = self._frame, frame
            self._changed.notify_all()
            return overwritten

    def wait_empty(self, stop: threading.Event) -> bool:
        """Wait until the slot is empty; False where ``stop`` came first.

        Whoever sets ``stop`` calls `wake` after it.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._frame is None or stop.is_set())
            return not stop.is_set()

    def take(self) -> Frame | None:
        """The waiting frame, or None; the slot is empty afterwards."""
        with self._changed:
            frame, self._frame = self._frame, None
            if frame is not None:
                self._changed.notify_all()
            return frame

    @property
    def empty(self) -> bool:
        return self._frame is None

    def wake(self) -> None:
        """Let everybody who waits look again."""
        with self._changed:
            self._changed.notify_all()


class FrameSlots:
    """One slot a camera, served in turn, so that no camera can starve another.

    A frame that was taken is under way until whoever is through with it, be it reported or dropped,
    calls `done`: so it is known when the last frame of a camera is (`all_done`).
    """

    def __init__(self, camera_ids: Iterable[str] = ()) -> None:
        self._changed = threading.Condition()  # an RLock inside: a slot's methods nest in ours
        self._slots: dict[str, FrameSlot] = {}
        self._turns: list[str] = []  # whose turn is next stands first
        self._under_way: Counter[str] = Counter()
        for camera in camera_ids:
            self.add(camera)

    def add(self, camera: str) -> FrameSlot:
        """A slot for one more camera, which has its turn last."""
        with self._changed:
            self._slots[camera] = FrameSlot(self._changed)
            self._turns.append(camera)
            return self._slots[camera]

    def __getitem__(self, camera: str) -> FrameSlot:
        return self._slots[camera]

    def take(self, timeout_s: float) -> Frame | None:
        """The next camera's frame; waits up to ``timeout_s`` for one, then returns None."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                for position, camera in enumerate(self._turns):
                    frame = self._slots[camera].take()
                    if frame is not None:
                        # Those before it in turn had nothing; it alone goes to the end.
                        self._turns.append(self._turns.pop(position))
                        self._under_way[camera] += 1
                        return frame
                remaining_s = deadline - time.monotonic()
                if remaining_s <= 0:
                    return None
                self._changed.wait(remaining_s)

    def done(self, camera: str) -> None:
        """One of the camera's frames that were taken is reported, or dropped and counted."""
        with self._changed:
            self._under_way[camera] -= 1

    def all_done(self, camera: str) -> bool:
        """No frame of the camera waits in its slot or is under way.

        Of a camera that puts no more frames (``Camera.ended``) this stays so.
        """
        with self._changed:
            return self._slots[camera].empty and not self._under_way[camera]

    def drain(self) -> list[Frame]:
        """Empty all slots; for the shutdown, which counts what is returned."""
        with self._changed:
            frames = [slot.take() for slot in self._slots.values()]
            return [frame for frame in frames if frame is not None]
