"""What the publishing tests share: publishers that end with their test, and the log as events."""

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mosquitto import DEADLINE_S, Mosquitto

from edge.clock import Clock
from edge.config import MqttSettings
from edge.metrics import Metrics
from edge.publish.mqtt import Publisher
from edge.publish.topics import Topics

TOPICS = Topics("rfdetr-edge", "dock-7")
DOCK = TOPICS.camera_status("dock")


def go(publisher: Publisher) -> Publisher:
    """A daemon with one camera, on its way."""
    publisher.publish_retained(TOPICS.info, '{"version": "1"}')
    publisher.publish_retained(DOCK, "online")
    publisher.settle()
    publisher.start()
    return publisher


@dataclass(frozen=True)
class Endpoint:
    """Where no broker of ours listens."""

    host: str
    port: int


class Said(logging.Handler):
    """Log messages as they come, of any level."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []
        self._changed = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._changed:
            self.messages.append(record.getMessage())
            self._changed.notify_all()

    def wait_for(self, part: str, count: int = 1) -> str:
        """Wait until ``count`` messages have had ``part`` in them; the last of these."""

        def hits() -> list[str]:
            return [message for message in self.messages if part in message]

        with self._changed:
            assert self._changed.wait_for(lambda: len(hits()) >= count, DEADLINE_S), self.messages
            return hits()[count - 1]


@pytest.fixture
def said() -> Iterator[Said]:
    """What the publisher says, and the file that it keeps; not what other tests left running."""
    loggers = [logging.getLogger(f"edge.{name}") for name in ("publish", "durable_file")]
    handler = Said()
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    yield handler
    for logger, level in zip(loggers, levels, strict=True):
        logger.removeHandler(handler)
        logger.setLevel(level)


@pytest.fixture
def make_publisher(tmp_path: Path) -> Iterator[Callable[..., Publisher]]:
    """A publisher to a broker, settings as keywords; those of one test share a state folder."""
    publishers: list[Publisher] = []

    def make(
        broker: Mosquitto | Endpoint, metrics: Metrics | None = None, **settings: Any
    ) -> Publisher:
        settings = {"client_id": "rfdetr-edge-dock-7", "host": broker.host} | settings
        publisher = Publisher(
            MqttSettings(port=broker.port, **settings),
            TOPICS,
            metrics or Metrics(),
            Clock(),
            tmp_path / "state",
        )
        publishers.append(publisher)
        return publisher

    yield make
    for publisher in publishers:
        publisher.stop(timeout_s=0.1)
