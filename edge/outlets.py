"""Where all that is told goes: broker, spool, page, Home Assistant; and what is remembered."""

from dataclasses import dataclass

from edge.camera_memory import CameraMemory
from edge.clock import Clock
from edge.config import Config
from edge.home import HomeAnnouncer
from edge.http.board import PictureBoard
from edge.metrics import Metrics
from edge.publish.delivery import EventDelivery
from edge.publish.mqtt import Publisher
from edge.publish.topics import Topics
from edge.snapshots import Snapshots


@dataclass(frozen=True, slots=True)
class Outlets:
    """Built before the model is loaded; each part says which threads may use it."""

    topics: Topics
    publisher: Publisher
    delivery: EventDelivery
    home: HomeAnnouncer
    board: PictureBoard
    snapshots: Snapshots
    memory: CameraMemory
    metrics: Metrics
    clock: Clock

    @classmethod
    def of(cls, config: Config, session: str, metrics: Metrics, clock: Clock) -> "Outlets":
        """Reads what earlier runs left in the state folder.

        Raises ``MqttSetupError``, and ``SpoolError`` where the spool is not ours to use.
        """
        topics = Topics(config.mqtt.base_topic, config.node)
        memory = CameraMemory(config.state_dir / "cameras.json")
        publisher = Publisher(config.mqtt, topics, metrics, clock, config.state_dir)

        def publish_snapshot(camera: str, jpeg: bytes) -> None:
            publisher.publish(topics.snapshot(camera), jpeg, qos=0, kind="snapshot")

        return cls(
            topics,
            publisher,
            EventDelivery(config.spool, session, publisher, topics, metrics, clock),
            HomeAnnouncer(config.mqtt.home_assistant, topics, config.node, memory, publisher),
            PictureBoard(),
            Snapshots(publish_snapshot),
            memory,
            metrics,
            clock,
        )
