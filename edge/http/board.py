"""The newest result of each camera, and its picture for whoever asks."""

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.clock import Timestamp
from edge.detections import Detections
from edge.frame import Frame

if TYPE_CHECKING:
    from edge.events.summary import ObjectSummary

_JPEG_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Result:
    """A frame, what was found in it, and what of that its message reports."""

    frame: Frame
    detections: Detections
    objects: "Sequence[ObjectSummary]"

    @property
    def counts(self) -> dict[str, int]:
        """The number of reported objects by label."""
        return dict(Counter(seen.label for seen in self.objects))


@dataclass(frozen=True, slots=True)
class Picture:
    """An annotated frame as a JPEG."""

    frame_id: int
    captured_at: Timestamp
    jpeg: bytes


class PictureBoard:
    """Where the events thread leaves the newest result of each camera, for HTTP to show.

    ``post`` and ``clear`` belong to the events thread: they keep references, copy nothing, draw
    nothing and wait for nobody. Everything else may be called from any thread. Drawing and encoding
    happen in the thread that asks (``picture``), one at a time and once per frame however many ask:
    a page somebody looks at costs one core at most, a page nobody looks at costs nothing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the next two, for moments
        self._newest: dict[str, Result] = {}
        self._waiting: dict[str, set[Callable[[], None]]] = {}
        self._drawing = threading.Lock()  # guards the next one, for as long as an encoding takes
        self._drawn: dict[str, Picture] = {}

    def post(
        self,
        camera: str,
        frame: Frame,
        detections: Detections,
        objects: "Sequence[ObjectSummary]",
    ) -> None:
        """Show this result from now on. ``objects`` are those of the frame's message."""
        with self._lock:
            self._newest[camera] = Result(frame, detections, objects)
            waiting = list(self._waiting.get(camera, ()))
        for wake in waiting:
            wake()

    def clear(self, camera: str) -> None:
        """Forget the camera's result: it was switched off or removed, and shows no more."""
        with self._lock:
            self._newest.pop(camera, None)
            waiting = list(self._waiting.get(camera, ()))
        for wake in waiting:
            wake()

    def newest(self, camera: str) -> Result | None:
        """The newest result, None where there is none (yet)."""
        with self._lock:
            return self._newest.get(camera)

    def picture(self, camera: str) -> Picture | None:
        """The newest result as an annotated JPEG; blocks for as long as drawing takes."""
        with self._drawing:
            result = self.newest(camera)
            if result is None:
                self._drawn.pop(camera, None)
                return None
            drawn = self._drawn.get(camera)
            if drawn is None or drawn.frame_id != result.frame.id:
                drawn = _draw(result)
                self._drawn[camera] = drawn
            return drawn

    async def wait_newer(
        self, camera: str, frame_id: int | None, timeout_s: float
    ) -> Result | None:
        """The newest result as soon as it is of another frame than ``frame_id``.

        None when the camera was cleared; after ``timeout_s`` what is there, the same frame too.
        """
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()

        def wake() -> None:
            # The loop may have ended since this callback was taken: nobody waits any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(changed.set)

        with self._lock:
            result = self._newest.get(camera)
            if result is None or result.frame.id != frame_id:
                return result
            self._waiting.setdefault(camera, set()).add(wake)
        try:
            await asyncio.wait_for(changed.wait(), timeout_s)
        except asyncio.TimeoutError:
            pass
        finally:
            with self._lock:
                self._waiting[camera].discard(wake)
        return self.newest(camera)


def _draw(result: Result) -> Picture:
    # Late: the board is made before anybody looks, and most daemons are never looked at.
    import cv2

    from edge.annotate import annotate

    # The objects of the message, no others: the numbers beside the picture are theirs.
    found = result.detections
    reported = {(seen.class_id, seen.score, seen.box) for seen in result.objects}
    each = zip(found.class_id.tolist(), found.score.tolist(), found.box.tolist(), strict=True)
    drawn = [(class_id, score, tuple(box)) in reported for class_id, score, box in each]
    labels = {seen.class_id: seen.label for seen in result.objects}
    names = [labels.get(row) for row in range(max(labels, default=-1) + 1)]
    image = annotate(result.frame.image, found[np.array(drawn, dtype=np.bool_)], names)
    _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return Picture(result.frame.id, result.frame.captured_at, jpeg.tobytes())
