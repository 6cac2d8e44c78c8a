"""What the daemon listens to on the broker, on every connection anew."""

import logging
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho

log = logging.getLogger(__name__)

Handler = Callable[[str, bytes, bool], None]  # topic, payload, whether it was retained


class Subscriptions:
    """Topic filters and who handles what comes on them; complete before the client connects.

    Handlers run in paho's thread, which an exception of theirs ends, and with it the daemon.
    """

    def __init__(self, client: paho.Client) -> None:
        self._client = client
        self._filters: list[str] = []
        self._asked: dict[int, str] = {}  # filters by the id of the packet that asks for them
        self._refused: set[str] = set()
        client.on_subscribe = self._on_subscribe

    def add(self, topic_filter: str, handler: Handler) -> None:
        def handle(client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
            handler(message.topic, bytes(message.payload), message.retain)

        self._client.message_callback_add(topic_filter, handle)
        self._filters.append(topic_filter)

    def ask(self) -> None:
        """Subscribe to all of them, at QoS 1; in paho's thread, on each connection."""
        self._asked.clear()
        for topic_filter in self._filters:
            _, mid = self._client.subscribe(topic_filter, qos=1)
            if mid is not None:
                self._asked[mid] = topic_filter

    def _on_subscribe(
        self, client: paho.Client, userdata: object, mid: int, reasons: Any, properties: object
    ) -> None:
        topic_filter = self._asked.pop(mid, "")
        if any(reason.is_failure for reason in reasons) and topic_filter not in self._refused:
            self._refused.add(topic_filter)
            log.warning("the broker does not let us listen to %s (its access list)", topic_filter)
