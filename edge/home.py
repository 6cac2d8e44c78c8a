"""The cameras in Home Assistant: announced, announced again when it comes up, withdrawn."""

import threading
from collections.abc import Mapping, Sequence

from edge.camera_memory import CameraMemory
from edge.config import CameraSettings, HomeAssistantSettings
from edge.publish.homeassistant import (
    BIRTH,
    CameraDevice,
    birth_topic,
    discovery,
    discovery_topic,
)
from edge.publish.mqtt import Publisher
from edge.publish.topics import Topics
from edge.version import __version__


class HomeAnnouncer:
    """Does nothing where Home Assistant is not enabled.

    ``subscribe`` is called before the publisher starts; the rest is the events thread's. What left
    the configuration before this start is withdrawn by the publisher, which clears its topics.
    """

    def __init__(
        self,
        settings: HomeAssistantSettings,
        topics: Topics,
        node: str,
        memory: CameraMemory,
        publisher: Publisher,
    ) -> None:
        self._settings, self._topics, self._node = settings, topics, node
        self._memory, self._publisher = memory, publisher
        self._born = threading.Event()  # Home Assistant has come up, and may have forgotten all
        self._announced: set[str] = set()

    def subscribe(self) -> None:
        if self._settings.enabled:
            self._publisher.subscribe(birth_topic(self._settings.prefix), self._heard)

    def announce(
        self, camera: CameraSettings, model: str, labels: Sequence[str], slugs: Mapping[str, str]
    ) -> None:
        """Announce the camera with the topics that it has now."""
        if not self._settings.enabled:
            return
        device = CameraDevice(
            camera.id,
            {label: slugs[label] for label in labels},
            [zone.id for zone in camera.zones],
            [line.id for line in camera.lines],
            camera.snapshot != "none",
        )
        before = self._memory.components(camera.id)
        topic, payload, components = discovery(
            self._topics, self._settings.prefix, self._node, __version__, model, device, before
        )
        self._memory.set_components(camera.id, components)
        self._publisher.publish_retained(topic, payload)
        self._announced.add(topic)

    def withdraw(self, camera: str) -> None:
        """The camera has left the configuration, and with it its device."""
        topic = discovery_topic(self._settings.prefix, self._node, camera)
        if topic in self._announced:
            self._announced.discard(topic)
            self._publisher.forget_retained(topic)

    def turn(self) -> None:
        """Announce everything again where Home Assistant has come up since the last turn."""
        if self._born.is_set():
            self._born.clear()
            for topic in sorted(self._announced):
                self._publisher.republish(topic)

    def _heard(self, topic: str, payload: bytes, retained: bool) -> None:
        if payload == BIRTH.encode():
            self._born.set()
