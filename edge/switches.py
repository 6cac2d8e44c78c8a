"""Cameras switched on and off over MQTT, and remembered so."""

import logging
import queue
import threading
from collections.abc import Callable, Sequence

from edge.capture.camera import Camera
from edge.outlets import Outlets

log = logging.getLogger(__name__)

_WORDS = {b"ON": True, b"OFF": False}


class CameraSwitches:
    """Commands are heard in the MQTT client's thread; everything else is the main thread's.

    ``heard`` is set when there is something to `obey`.
    """

    def __init__(
        self,
        cameras: Sequence[Camera],
        outlets: Outlets,
        heard: threading.Event,
    ) -> None:
        self._cameras = {camera.id: camera for camera in cameras}
        self._memory, self._topics = outlets.memory, outlets.topics
        self._publisher, self._heard = outlets.publisher, heard
        self._commands: queue.SimpleQueue[tuple[str, bool]] = queue.SimpleQueue()

    def restore(self) -> None:
        """Before the start: as the last run left it; from now on commands are heard."""
        for name, camera in self._cameras.items():
            if not self._memory.enabled(name):
                camera.disable()
            self._tell(camera)
            self._publisher.subscribe(self._topics.enabled_set(name), self._listener(name))

    def obey(self) -> None:
        """Do what was heard, in order."""
        while not self._commands.empty():
            name, enabled = self._commands.get()
            camera = self._cameras[name]
            if enabled:
                camera.enable()
            else:
                camera.disable()
            self._memory.set_enabled(name, enabled)  # may wait for the disk
            self._tell(camera)

    def _tell(self, camera: Camera) -> None:
        state = "ON" if camera.enabled else "OFF"
        self._publisher.publish_retained(self._topics.enabled_state(camera.id), state)

    def _listener(self, name: str) -> Callable[[str, bytes, bool], None]:
        def listen(topic: str, payload: bytes, retained: bool) -> None:
            if not payload:
                pass  # somebody clears a retained command
            elif retained:
                # It was meant for who listened then, and would switch again at each reconnection.
                log.warning("%s: a retained command is ignored; send it without retain", topic)
            elif payload not in _WORDS:
                log.warning("%s: %r is neither ON nor OFF", topic, payload[:40])
            else:
                self._commands.put((name, _WORDS[payload]))
                self._heard.set()

        return listen
