"""Events, subscriptions and the number of the connection, against a real broker."""

import threading
from collections.abc import Callable

import pytest
from mosquitto import DEADLINE_S, Mosquitto, Subscriber
from paho.mqtt.enums import MessageState
from publishing import DOCK, TOPICS, Said, go

from edge.metrics import Metrics
from edge.publish.mqtt import Publisher

pytestmark = pytest.mark.e2e

MakePublisher = Callable[..., Publisher]
EVENTS = TOPICS.events("dock")
SWITCH = TOPICS.enabled_set("dock")


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(f"rfdetr_edge_{name}", labels) or 0.0


def test_event_is_acknowledged_once(broker: Mosquitto, make_publisher: MakePublisher):
    metrics = Metrics()
    publisher = go(make_publisher(broker, metrics))
    acknowledged = threading.Semaphore(0)
    with Subscriber(broker.host, broker.port) as subscriber:
        subscriber.wait_for(TOPICS.status, "online")
        assert publisher.connection == 1
        assert publisher.publish_event(EVENTS, b"{}", acknowledged.release)
        subscriber.wait_for(EVENTS, "{}")
        assert acknowledged.acquire(timeout=DEADLINE_S)
        publisher.stop()
    assert not acknowledged.acquire(blocking=False)
    assert publisher.connection == 0
    assert not publisher.publish_event(EVENTS, b"{}", acknowledged.release)
    assert value(metrics, "mqtt_messages_total", kind="events") == 1
    assert value(metrics, "mqtt_dropped_total", kind="events") == 0


def test_no_event_before_the_birth_is_complete(broker: Mosquitto, make_publisher: MakePublisher):
    publisher = make_publisher(broker)
    publisher.publish_retained(DOCK, "online")
    publisher.start()
    with Subscriber(broker.host, broker.port) as subscriber:
        subscriber.wait_for(DOCK, "online")
        assert publisher.connected
        assert publisher.connection == 0
        assert not publisher.publish_event(EVENTS, b"early", lambda: None)
        publisher.settle()
        assert publisher.connection == 1
        assert publisher.publish_event(EVENTS, b"{}", lambda: None)
        subscriber.wait_for(EVENTS)
        assert subscriber.topics() == [DOCK, TOPICS.status, EVENTS]


def test_each_connection_has_a_greater_number_and_loses_what_was_unacknowledged(
    broker: Mosquitto, make_publisher: MakePublisher, said: Said
):
    publisher = go(make_publisher(broker))
    said.wait_for("connected to the broker")
    acknowledged: list[int] = []
    with Subscriber(broker.host, broker.port) as subscriber:
        subscriber.wait_for(TOPICS.status, "online")
    broker.freeze()
    assert publisher.publish_event(EVENTS, b"lost", lambda: acknowledged.append(1))
    broker.kill()
    said.wait_for("lost the connection")
    assert publisher.connection == 0
    broker.start()
    with Subscriber(broker.host, broker.port) as subscriber:
        subscriber.wait_for(TOPICS.status, "online")
        assert publisher.connection == 2
        done = threading.Event()
        assert publisher.publish_event(EVENTS, b"second", done.set)
        assert done.wait(DEADLINE_S)
        subscriber.catch_up()
        assert subscriber.payloads(EVENTS) == [b"second"]
    assert acknowledged == []


def test_status_overtakes_unacknowledged_events(broker: Mosquitto, make_publisher: MakePublisher):
    """More of them than paho would have on the wire by its default."""
    publisher = go(make_publisher(broker))
    with Subscriber(broker.host, broker.port) as subscriber:
        subscriber.wait_for(TOPICS.status, "online")
        broker.freeze()
        for n in range(100):
            assert publisher.publish_event(EVENTS, b"%d" % n, lambda: None)
        publisher.publish_retained(DOCK, "degraded")
        states = {message.state for message in publisher._client._out_messages.values()}
        assert states == {MessageState.MQTT_MS_WAIT_FOR_PUBACK}  # on the wire, none queued
        broker.thaw()
        subscriber.wait_for(DOCK, "degraded")


def test_subscriptions_hold_on_every_connection(
    broker: Mosquitto, make_publisher: MakePublisher, said: Said
):
    publisher = make_publisher(broker)
    heard: list[tuple[str, bytes, bool]] = []
    changed = threading.Semaphore(0)

    def hear(topic: str, payload: bytes, retained: bool) -> None:
        heard.append((topic, payload, retained))
        publisher.publish_retained(DOCK, payload)  # a handler may publish
        changed.release()

    publisher.subscribe(TOPICS.enabled_set("+"), hear)
    go(publisher)
    for turn, payload in enumerate(("OFF", "ON"), 1):
        said.wait_for("connected to the broker", count=turn)
        with Subscriber(broker.host, broker.port) as subscriber:
            subscriber.wait_for(TOPICS.status, "online")
            subscriber.publish(SWITCH, payload)
            assert changed.acquire(timeout=DEADLINE_S)
            subscriber.wait_for(DOCK, payload)
        if turn == 1:
            broker.stop()
            said.wait_for("lost the connection")
            broker.start()
    assert heard == [(SWITCH, b"OFF", False), (SWITCH, b"ON", False)]


def test_retained_message_is_told_as_such(broker: Mosquitto, make_publisher: MakePublisher):
    with Subscriber(broker.host, broker.port) as subscriber:
        subscriber._client.publish(SWITCH, "OFF", qos=1, retain=True).wait_for_publish(DEADLINE_S)
    publisher = make_publisher(broker)
    heard: list[bool] = []
    changed = threading.Event()

    def hear(topic: str, payload: bytes, retained: bool) -> None:
        heard.append(retained)
        changed.set()

    publisher.subscribe(SWITCH, hear)
    go(publisher)
    assert changed.wait(DEADLINE_S)
    assert heard == [True]


def test_handler_that_fails_reaches_the_excepthook(
    broker: Mosquitto, make_publisher: MakePublisher, monkeypatch: pytest.MonkeyPatch
):
    failed = threading.Event()
    errors: list[BaseException | None] = []
    monkeypatch.setattr(
        threading, "excepthook", lambda args: (errors.append(args.exc_value), failed.set())
    )
    publisher = make_publisher(broker)
    publisher.subscribe(SWITCH, lambda *message: 1 / 0)
    go(publisher)
    with Subscriber(broker.host, broker.port) as subscriber:
        subscriber.wait_for(TOPICS.status, "online")
        subscriber.publish(SWITCH, "ON")
        assert failed.wait(DEADLINE_S)
    assert [type(error) for error in errors] == [ZeroDivisionError]


def test_republished_topic_is_sent_again_unchanged(
    broker: Mosquitto, make_publisher: MakePublisher
):
    publisher = go(make_publisher(broker))
    with Subscriber(broker.host, broker.port) as subscriber:
        subscriber.wait_for(TOPICS.status, "online")
        subscriber.clear()
        publisher.republish(DOCK)
        publisher.republish("not/ours")
        publisher.publish_retained(TOPICS.info, "last")
        subscriber.wait_for(TOPICS.info, "last")
        assert [entry[:2] for entry in subscriber.seen] == [
            (DOCK, b"online"),
            (TOPICS.info, b"last"),
        ]
