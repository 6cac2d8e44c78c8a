"""Cameras switched on and off over MQTT, and remembered so."""

import logging
import queue
import threading

from edge.camera_group import CameraGroup
from edge.capture.camera import Camera
from edge.outlets import Outlets

log = logging.getLogger(__name__)

_WORDS = {b"ON": True, b"OFF": False}


class CameraSwitches:
    """Commands are heard in the MQTT client's thread; everything else is the main thread's.

    ``heard`` is set when there is something to `obey`.
    """

    def __init__(self, cameras: CameraGroup, outlets: Outlets, heard: threading.Event) -> None:
        self._cameras, self._known = cameras, dict[str, Camera]()
        self._memory, self._topics = outlets.memory, outlets.topics
        self._publisher, self._heard = outlets.publisher, heard
        self._commands: queue.SimpleQueue[tuple[str, bool]] = queue.SimpleQueue()

    def listen(self) -> None:
        """Before the publisher starts: from now on commands are heard."""
        self._publisher.subscribe(self._topics.enabled_set("+"), self._hear)

    def follow(self) -> None:
        """Switch cameras that are new as the last run left them, and forget those that are gone."""
        cameras = {camera.id: camera for camera in self._cameras.current}
        for name in self._known.keys() - cameras.keys():
            self._publisher.forget_retained(self._topics.enabled_state(name))
        for name in cameras.keys() - self._known.keys():
            if not self._memory.enabled(name):
                cameras[name].disable()
            self._tell(cameras[name])
        self._known = cameras

    def obey(self) -> None:
        """Do what was heard, in order."""
        while not self._commands.empty():
            name, enabled = self._commands.get()
            camera = self._known.get(name)
            if camera is None:
                log.warning("%s: there is no camera %s", self._topics.enabled_set(name), name)
                continue
            if enabled:
                camera.enable()
            else:
                camera.disable()
            self._memory.set_enabled(name, enabled)  # may wait for the disk
            self._tell(camera)

    def _tell(self, camera: Camera) -> None:
        state = "ON" if camera.enabled else "OFF"
        self._publisher.publish_retained(self._topics.enabled_state(camera.id), state)

    def _hear(self, topic: str, payload: bytes, retained: bool) -> None:
        if not payload:
            pass  # somebody clears a retained command
        elif retained:
            # It was meant for who listened then, and would switch again at each reconnection.
            log.warning("%s: a retained command is ignored; send it without retain", topic)
        elif payload not in _WORDS:
            log.warning("%s: %r is neither ON nor OFF", topic, payload[:40])
        else:
            self._commands.put((self._topics.camera_of(topic), _WORDS[payload]))
            self._heard.set()
