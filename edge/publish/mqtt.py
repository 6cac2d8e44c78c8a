"""The daemon's connection to the broker: retained state that stays true, frames that never wait."""

import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge.clock import Clock
from edge.config import MqttSettings
from edge.metrics import Metrics
from edge.publish.client import confirm_at_once, hang_up, make_client
from edge.publish.connection_log import ConnectionLog
from edge.publish.in_flight import InFlight, Message
from edge.publish.retained import RetainedTopics
from edge.publish.subscriptions import Handler, Subscriptions
from edge.publish.topics import Topics

log = logging.getLogger(__name__)

# Where the broker has stopped reading, paho would queue for ever. A live stream is worth little
# after a second or two: past these marks new messages are refused instead.
_MAX_UNSENT_BYTES = 1024 * 1024  # QoS 0; the one that crosses the mark still goes
_MAX_UNACKNOWLEDGED = 500  # QoS 1

_DISCONNECT_S = 1.0  # for the DISCONNECT packet itself to leave


class Publisher:
    """Publishes retained state and live messages; the broker may be away at any time.

    Every method may be called from any thread, returns without waiting for the network (``stop``
    alone waits, up to its timeout) and raises nothing because of the broker. ``_order`` makes one
    sequence of what the callers and the birth messages send, and guards ``_retained``, ``_sent``,
    ``_unsent``, ``_settled`` and ``_connection``. Paho's thread owns the socket and the connection
    log, and runs the callbacks and the handlers of subscriptions; callbacks that paho runs under
    its own lock (``_on_disconnect``, ``_on_publish``, and so the events' ``on_ack``) must not take
    ``_order``, which callers hold while they wait for that lock.

    On every connection, first or not, all retained state goes out anew and ``online`` last, so that
    a subscriber who sees ``online`` has seen the rest, and nothing stale beside it. While
    disconnected nothing is queued but the newest payload of each retained topic: events are kept
    by ``EventDelivery``, which hands over a few at a time, so that state never waits behind them.
    """

    def __init__(
        self,
        settings: MqttSettings,
        topics: Topics,
        metrics: Metrics,
        clock: Clock,
        state_dir: Path,
    ) -> None:
        """Reads secrets and the record of retained topics; raises ``MqttSetupError``."""
        broker = f"{settings.host}:{settings.port}"
        self._settings = settings
        self._topics = topics
        self._metrics = metrics
        self._clock = clock
        self._record = RetainedTopics(state_dir / "retained.json", broker)
        self._connection_log = ConnectionLog(broker, settings.client_id)
        self._in_flight = InFlight()

        self._order = threading.Lock()
        self._retained: dict[str, bytes] = {}  # what each topic should hold
        self._sent: dict[str, bytes] = {}  # what this connection was last told, by topic
        self._unsent: dict[str, None] = {}  # topics whose payload had no room, oldest first
        self._settled = False
        self._connected = False
        self._connections = 0  # whose birth was completed, so far
        self._connection = 0  # the number of the last one; 0 before its birth is complete
        self._stopping = False
        self._disconnected = threading.Event()

        self._client = make_client(settings, topics.status, will=b"offline")
        self._client.on_pre_connect = self._on_pre_connect
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._subscriptions = Subscriptions(self._client)
        for topic_filter in topics.retained_filters():
            self._subscriptions.add(topic_filter, self._on_left)

    @property
    def connected(self) -> bool:
        """True from an accepted CONNACK to the end of that connection."""
        return self._connected

    @property
    def connection(self) -> int:
        """The number of the connection, from when its ``online`` has been sent; 0 without one.

        The next connection has a greater number.
        """
        return self._connection if self._connected and not self._stopping else 0

    def subscribe(self, topic_filter: str, handler: Handler) -> None:
        """Have ``handler(topic, payload, retained)`` called for what comes; before ``start``.

        At QoS 1, on every connection before the birth messages. It runs in paho's thread: it must
        not wait, and may publish. What it raises ends that thread, and with it the daemon.
        """
        self._subscriptions.add(topic_filter, handler)

    def start(self) -> None:
        """Connect, and stay connected, in paho's own thread; an absent broker is tried again."""
        self._client.connect_async(
            self._settings.host, self._settings.port, self._settings.keepalive_s
        )
        self._client.loop_start()

    def settle(self) -> None:
        """The retained topics published so far are all that the configuration asks for.

        Before this is called no connection says ``online``. What earlier runs left on this broker
        beside these topics is cleared, and ``online`` follows: now, or at the next connection.
        Call it before ``start`` where the set is known by then. Topics that appear later (labels
        on first sight) are published as they come. Calls after the first do nothing.
        """
        with self._order:
            if self._settled or self._stopping:
                return
            self._settled = True
            if self._connected:
                self._complete_birth()

    def publish_retained(self, topic: str, payload: str | bytes) -> None:
        """Make ``topic`` hold ``payload`` (not empty), at QoS 1, now and on every later connection.

        Sent only where it differs from what this connection was told last.
        """
        body = payload.encode() if isinstance(payload, str) else payload
        if not body:
            raise ValueError(f"{topic}: an empty retained payload clears; use forget_retained")
        with self._order:
            if self._stopping:
                return
            self._retained[topic] = body
            self._record.keep([topic])
            if self._connected:
                self._send_unsent()
                self._send_retained(topic)

    def republish(self, topic: str) -> None:
        """Send a retained topic again though it has not changed; nothing where it is not ours."""
        with self._order:
            if self._stopping or topic not in self._retained:
                return
            self._sent.pop(topic, None)
            if self._connected:
                self._send_unsent()
                self._send_retained(topic)

    def forget_retained(self, topic: str) -> None:
        """``topic`` has left the configuration: clear it on the broker, now or once it is back."""
        with self._order:
            self._retained.pop(topic, None)
            self._sent.pop(topic, None)
            self._unsent.pop(topic, None)
            self._record.release(topic)
            if self._connected and not self._stopping:
                self._clear(topic)

    def publish_frame(self, topic: str, payload: bytes) -> bool:
        """Hand one frame message over at QoS 0; False where it was dropped (and counted)."""
        return self.publish(topic, payload, qos=0, kind="frame")

    def publish(self, topic: str, payload: str | bytes, qos: int, kind: str) -> bool:
        """Hand one message that is not retained over to the client.

        False where it was dropped, and counted by ``kind``: not connected, or the broker is so far
        behind that the message would only grow a queue.
        """
        body = payload.encode() if isinstance(payload, str) else payload
        with self._order:
            handed = False
            if self._connected and not self._stopping:
                self._send_unsent()
                handed = self._has_room(qos) and self._send(
                    topic, body, qos, retain=False, kind=kind
                )
            if not handed:
                self._metrics.mqtt_dropped.labels(kind).inc()
            return handed

    def publish_event(self, topic: str, payload: bytes, on_ack: Callable[[], None]) -> bool:
        """Hand one event over at QoS 1; ``on_ack`` is called once the broker has acknowledged it.

        False, and nothing is counted, where that is not possible now: the caller keeps it. An event
        that was handed over on an earlier ``connection`` is not acknowledged any more. ``on_ack``
        may be called before this returns, and in paho's thread: it must not wait.
        """
        with self._order:
            if not self.connection:
                return False
            self._send_unsent()
            return self._has_room(qos=1) and self._send(
                topic, payload, qos=1, retain=False, kind="events", on_ack=on_ack
            )

    def stop(self, final: bytes = b"stopped", timeout_s: float = 5.0) -> None:
        """Say ``final`` on the status topic and leave the broker, without the will being sent.

        Waits up to ``timeout_s`` for everything published at QoS 1 to be acknowledged, and one
        second more at most for the farewell to leave; returns at once when not connected. Calls
        after the first do nothing, and so does every other method from here on.
        """
        with self._order:
            if self._stopping:
                return
            self._stopping = True  # from here on nothing follows the final status
            connected = self._connected
            if connected:
                for topic in list(self._unsent):
                    self._send_retained(topic, always=True)
                self._send(self._topics.status, final, qos=1, retain=True, kind="status")
        if connected:
            acknowledged = self._in_flight.wait_acknowledged(timeout_s)
            if not (acknowledged and self._connected):
                log.warning("stopping without the broker's acknowledgement of %r", final.decode())
        self._client.disconnect()  # ends paho's thread as well
        if connected and not self._disconnected.wait(_DISCONNECT_S):
            hang_up(self._client)

    # -- under _order, connected ----------------------------------------------------------------

    def _send(
        self,
        topic: str,
        payload: bytes,
        qos: int,
        *,
        retain: bool,
        kind: str,
        on_ack: Callable[[], None] | None = None,
    ) -> bool:
        at_s = self._clock.uptime_s()
        info = self._client.publish(topic, payload, qos, retain)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return False  # the connection has just gone; what was retained follows on the next one
        self._observe(self._in_flight.handed(info.mid, Message(qos, len(payload), at_s, on_ack)))
        self._metrics.mqtt_messages.labels(kind).inc()
        if self._in_flight.overdue(info.mid):
            log.warning("the broker has left a message unacknowledged for too long: reconnecting")
            hang_up(self._client)
        return True

    def _send_retained(self, topic: str, always: bool = False) -> bool:
        """Bring the broker up to date on one topic; False where that has to wait."""
        payload = self._retained[topic]
        if self._sent.get(topic) != payload:
            if not (always or self._has_room(qos=1)) or not self._send(
                topic, payload, qos=1, retain=True, kind=self._topics.kind(topic)
            ):
                self._unsent[topic] = None
                return False
            self._sent[topic] = payload
        self._unsent.pop(topic, None)
        return True

    def _send_unsent(self) -> None:
        for topic in list(self._unsent):
            if not self._send_retained(topic):
                return

    def _complete_birth(self) -> None:
        for topic in self._record.stale():
            self._clear(topic)
        self._send(self._topics.status, b"online", qos=1, retain=True, kind="status")
        self._connections += 1
        self._connection = self._connections

    def _clear(self, topic: str) -> None:
        self._send(
            topic,
            b"",
            qos=1,
            retain=True,
            kind="clear",
            on_ack=lambda: self._record.cleared(topic),
        )

    def _has_room(self, qos: int) -> bool:
        if qos:
            return self._in_flight.unacknowledged < _MAX_UNACKNOWLEDGED
        return self._in_flight.unsent_bytes < _MAX_UNSENT_BYTES

    # -- in paho's thread -----------------------------------------------------------------------

    def _on_pre_connect(self, client: paho.Client, userdata: object) -> None:
        # What the last connection left unacknowledged, paho would send again behind the birth
        # messages: old state on top of new. With the lock no caller is between its look at
        # _connected and paho's queue.
        with self._order:
            self._connected = False
            self._connection = 0
            self._in_flight.reset()
            client.drop_out_messages()
        self._connection_log.connecting(self._clock.uptime_s())

    def _on_connect(
        self,
        client: paho.Client,
        userdata: object,
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._connection_log.refused(str(reason))
            return
        with self._order:
            if self._stopping:  # it was on its way when stop came
                client.disconnect()
                return
            self._connection_log.connected(self._clock.uptime_s())
            self._connected = True
            self._disconnected.clear()
            self._metrics.mqtt_connected.set(1)
            self._sent.clear()
            self._unsent.clear()
            self._record.keep([self._topics.status])
            self._subscriptions.ask()
            for topic in self._retained:
                self._send_retained(topic, always=True)
            if self._settled:
                self._complete_birth()

    def _on_left(self, topic: str, payload: bytes, retained: bool) -> None:
        """What the broker holds of ours: a run whose record was lost may have left something."""
        if not (retained and payload and self._record.found(topic)):
            return
        with self._order:
            # Before all of this run's topics are known, it is looked at when they are.
            if self._settled and self._connected and not self._stopping:
                self._clear(topic)

    def _on_connect_fail(self, client: paho.Client, userdata: object) -> None:
        if not self._stopping:  # paho calls while it handles the error
            self._connection_log.unreachable(sys.exc_info()[1])

    def _on_disconnect(
        self,
        client: paho.Client,
        userdata: object,
        flags: paho.DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._connected = False
        self._metrics.mqtt_connected.set(0)
        self._in_flight.reset()
        self._disconnected.set()
        if not self._stopping:
            self._connection_log.lost(self._clock.uptime_s(), str(reason))

    def _on_publish(
        self,
        client: paho.Client,
        userdata: object,
        mid: int,
        reason: ReasonCode,
        properties: Properties,
    ) -> None:
        confirm_at_once(client)
        now_s = self._clock.uptime_s()
        self._observe(self._in_flight.finished(mid, now_s))
        self._connection_log.still_connected(now_s)

    # -- anywhere -------------------------------------------------------------------------------

    def _observe(self, ack_s: float | None) -> None:
        if ack_s is not None:
            self._metrics.publish_to_ack.observe(ack_s)
