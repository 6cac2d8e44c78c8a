"""The newest result of each camera, and its picture for whoever asks."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass

from edge.clock import Timestamp
from edge.picture import Result


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

    def post(self, result: Result) -> None:
        """Show this result of its camera from now on."""
        camera = result.frame.camera
        with self._lock:
            self._newest[camera] = result
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
                drawn = Picture(result.frame.id, result.frame.captured_at, result.jpeg())
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
