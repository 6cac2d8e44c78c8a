"""The publisher against a real broker: what a subscriber sees, in which order, and when."""

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from mosquitto import DEADLINE_S, Mosquitto, Subscriber, free_port
from publishing import DOCK, TOPICS, Endpoint, Said, go

from edge.clock import Clock
from edge.metrics import Metrics
from edge.publish.mqtt import Publisher

pytestmark = pytest.mark.e2e

MakePublisher = Callable[..., Publisher]
StartMosquitto = Callable[..., Mosquitto]
FRAME = TOPICS.frame("dock")


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(f"rfdetr_edge_{name}", labels) or 0.0


@pytest.mark.parametrize("protocol", [paho.MQTTv311, paho.MQTTv5])
def test_online_comes_after_the_rest_and_stopped_last(
    broker: Mosquitto, make_publisher: MakePublisher, protocol: int
):
    with Subscriber(broker.host, broker.port, protocol=protocol) as subscriber:
        publisher = go(make_publisher(broker))
        subscriber.wait_for(TOPICS.status, "online")
        assert publisher.publish_frame(FRAME, b"{}")
        publisher.stop()
        subscriber.wait_for(TOPICS.status, "stopped")
        subscriber.catch_up()
        assert [(topic, payload) for topic, payload, _ in subscriber.seen] == [
            (TOPICS.info, b'{"version": "1"}'),
            (DOCK, b"online"),
            (TOPICS.status, b"online"),
            (FRAME, b"{}"),
            (TOPICS.status, b"stopped"),
        ]
    assert broker.retained() == {
        TOPICS.info: b'{"version": "1"}',
        DOCK: b"online",
        TOPICS.status: b"stopped",
    }


def test_unchanged_retained_state_is_sent_once_a_connection(
    broker: Mosquitto, make_publisher: MakePublisher
):
    with Subscriber(broker.host, broker.port) as subscriber:
        publisher = go(make_publisher(broker))
        subscriber.wait_for(TOPICS.status, "online")
        for status in ("online", "degraded", "degraded", "online"):
            publisher.publish_retained(DOCK, status)
        publisher.stop()
        subscriber.wait_for(TOPICS.status, "stopped")
        assert subscriber.payloads(DOCK) == [b"online", b"degraded", b"online"]


def test_nothing_says_online_before_the_set_of_topics_is_complete(
    broker: Mosquitto, make_publisher: MakePublisher
):
    with Subscriber(broker.host, broker.port) as subscriber:
        publisher = make_publisher(broker)
        publisher.start()
        publisher.publish_retained(DOCK, "offline")
        subscriber.wait_for(DOCK, "offline")
        publisher.publish_retained(TOPICS.info, "{}")
        publisher.settle()
        subscriber.wait_for(TOPICS.status, "online")
        assert subscriber.topics() == [DOCK, TOPICS.info, TOPICS.status]


def test_absent_broker_at_start_is_said_once_and_found_later(
    start_mosquitto: StartMosquitto, make_publisher: MakePublisher, said: Said
):
    broker = start_mosquitto()
    broker.stop()
    metrics = Metrics()
    publisher = go(make_publisher(broker, metrics))
    said.wait_for("nothing listens on that port")
    assert not publisher.connected
    assert publisher.publish_frame(FRAME, b"lost") is False
    assert publisher.publish(TOPICS.heartbeat, b"lost", qos=0, kind="heartbeat") is False
    assert value(metrics, "mqtt_dropped_total", kind="frame") == 1
    assert value(metrics, "mqtt_dropped_total", kind="heartbeat") == 1
    publisher.publish_retained(DOCK, "offline")
    broker.start()
    with Subscriber(broker.host, broker.port) as subscriber:
        subscriber.wait_for(TOPICS.status, "online")
        subscriber.catch_up()
        assert publisher.connected
        assert value(metrics, "mqtt_connected") == 1
        assert subscriber.payloads(FRAME) == []
        assert subscriber.payloads(DOCK) == [b"offline"]
    assert len([message for message in said.messages if "nothing listens" in message]) == 1


def test_stop_without_a_broker_returns_at_once(make_publisher: MakePublisher, said: Said):
    clock = Clock()
    publisher = go(make_publisher(Endpoint("127.0.0.1", free_port())))
    said.wait_for("nothing listens")
    before_s = clock.uptime_s()
    publisher.stop()
    publisher.stop()
    assert clock.uptime_s() - before_s < 1.0
    assert publisher.publish_frame(FRAME, b"{}") is False
    publisher.publish_retained(DOCK, "offline")


def test_restarted_broker_that_forgot_everything_gets_it_anew(
    start_mosquitto: StartMosquitto, make_publisher: MakePublisher
):
    broker = start_mosquitto(persistence=True)
    publisher = go(make_publisher(broker))
    with Subscriber(broker.host, broker.port) as subscriber:
        subscriber.wait_for(TOPICS.status, "online")
    broker.stop()
    broker.forget_everything()
    publisher.publish_retained(DOCK, "degraded")
    broker.start()
    with Subscriber(broker.host, broker.port) as subscriber:
        subscriber.wait_for(TOPICS.status, "online")
        assert subscriber.topics() == [TOPICS.info, DOCK, TOPICS.status]
        assert subscriber.payloads(DOCK) == [b"degraded"]


def test_restarted_broker_that_kept_its_state_gets_what_changed_meanwhile(
    start_mosquitto: StartMosquitto, make_publisher: MakePublisher
):
    broker = start_mosquitto(persistence=True)
    publisher = go(make_publisher(broker))
    with Subscriber(broker.host, broker.port) as subscriber:
        subscriber.wait_for(TOPICS.status, "online")
    broker.stop()
    publisher.publish_retained(DOCK, "degraded")
    broker.start()
    with Subscriber(broker.host, broker.port) as subscriber:
        subscriber.wait_for(DOCK, "degraded")
    publisher.stop()
    assert broker.retained() == {
        TOPICS.info: b'{"version": "1"}',
        DOCK: b"degraded",
        TOPICS.status: b"stopped",
    }


def test_state_left_unacknowledged_does_not_overwrite_newer_state(
    start_mosquitto: StartMosquitto, make_publisher: MakePublisher
):
    broker = start_mosquitto()
    publisher = go(make_publisher(broker))
    with Subscriber(broker.host, broker.port) as subscriber:
        subscriber.wait_for(TOPICS.status, "online")
    broker.freeze()
    publisher.publish_retained(DOCK, "degraded")  # on its way, never acknowledged
    broker.kill()
    publisher.publish_retained(DOCK, "offline")
    broker.start()
    with Subscriber(broker.host, broker.port) as subscriber:
        subscriber.wait_for(TOPICS.status, "online")
        publisher.publish_retained(TOPICS.info, "last")
        subscriber.wait_for(TOPICS.info, "last")
        assert subscriber.payloads(DOCK) == [b"offline"]
    assert broker.retained()[DOCK] == b"offline"


def test_messages_and_acknowledgements_are_counted(
    broker: Mosquitto, make_publisher: MakePublisher
):
    metrics = Metrics()
    publisher = go(make_publisher(broker, metrics))
    with Subscriber(broker.host, broker.port) as subscriber:
        subscriber.wait_for(TOPICS.status, "online")
        for _ in range(3):
            assert publisher.publish_frame(FRAME, b"{}")
        assert publisher.publish(TOPICS.heartbeat, "{}", qos=0, kind="heartbeat")
        publisher.stop()
    counts = {
        kind: value(metrics, "mqtt_messages_total", kind=kind)
        for kind in ("frame", "heartbeat", "info", "status")
    }
    assert counts == {"frame": 3, "heartbeat": 1, "info": 1, "status": 3}
    assert value(metrics, "publish_to_ack_seconds_count") == 4  # info, three statuses
    assert value(metrics, "mqtt_connected") == 0


def test_wrong_password_is_one_sentence_without_the_password(
    start_mosquitto: StartMosquitto, make_publisher: MakePublisher, said: Said, tmp_path: Path
):
    broker = start_mosquitto(users={"edge": "right"})
    (tmp_path / "password").write_text("w-r-o-n-g\n")
    publisher = make_publisher(broker, username="edge", password_file=tmp_path / "password")
    go(publisher)
    assert "not authorised" in said.wait_for("refused the connection")
    assert not publisher.connected
    assert not any("w-r-o-n-g" in message for message in said.messages)


def test_password_from_its_file_opens_the_broker(
    start_mosquitto: StartMosquitto, make_publisher: MakePublisher, tmp_path: Path
):
    broker = start_mosquitto(users={"edge": "pass word:1"})
    (tmp_path / "password").write_text("pass word:1\n")
    publisher = make_publisher(broker, username="edge", password_file=tmp_path / "password")
    credentials = {"username": "edge", "password": "pass word:1"}
    with Subscriber(broker.host, broker.port, **credentials) as subscriber:
        go(publisher)
        subscriber.wait_for(TOPICS.status, "online")


def test_access_list_of_the_manual_is_enough(
    start_mosquitto: StartMosquitto, make_publisher: MakePublisher, tmp_path: Path
):
    manual = Path(__file__, "../../../docs/mqtt.md").resolve().read_text()
    (tmp_path / "acl").write_text(manual.split("```acl\n")[1].split("```")[0])
    (tmp_path / "password").write_text("secret")
    users = {"edge": "secret", "dashboard": "public"}
    broker = start_mosquitto(users=users, extra=f"acl_file {tmp_path / 'acl'}")
    dashboard = {"username": "dashboard", "password": "public"}
    with Subscriber(broker.host, broker.port, "rfdetr-edge/#", **dashboard) as subscriber:
        publisher = make_publisher(broker, username="edge", password_file=tmp_path / "password")
        go(publisher)
        subscriber.wait_for(TOPICS.status, "online")
        assert publisher.publish_frame(FRAME, b"{}")
        subscriber.wait_for(FRAME, "{}")
        assert subscriber.topics() == [TOPICS.info, DOCK, TOPICS.status, FRAME]


def test_service_that_hangs_up_is_said_once(make_publisher: MakePublisher, said: Said):
    with socket.create_server(("127.0.0.1", 0)) as server:
        publisher = go(make_publisher(Endpoint(*server.getsockname())))
        for _ in range(2):
            server.accept()[0].close()
        said.wait_for("closed the connection before accepting it")
        publisher.stop()
    assert len(said.messages) == 1


def test_two_daemons_with_one_client_id_are_told_so(
    broker: Mosquitto, make_publisher: MakePublisher, said: Said
):
    go(make_publisher(broker))
    said.wait_for("connected to the broker")
    go(make_publisher(broker))
    said.wait_for("uses the client id 'rfdetr-edge-dock-7'")


def test_threads_may_publish_through_restarts_of_the_broker(
    start_mosquitto: StartMosquitto, make_publisher: MakePublisher, said: Said
):
    broker = start_mosquitto()
    publisher = go(make_publisher(broker))
    done = threading.Event()

    def publish(camera: str) -> None:
        turn = 0
        while not done.wait(0.0005):
            turn += 1
            publisher.publish_frame(TOPICS.frame(camera), b"x" * 500)
            publisher.publish_retained(TOPICS.camera_status(camera), str(turn))
        publisher.publish_retained(TOPICS.camera_status(camera), "last")

    threads = [threading.Thread(target=publish, args=(f"camera-{n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for restart in range(1, 4):
        said.wait_for("connected to the broker", count=restart)
        broker.kill()
        said.wait_for("lost the connection", count=restart) if restart < 3 else None
        broker.start()
    done.set()
    for thread in threads:
        thread.join(DEADLINE_S)
    with Subscriber(broker.host, broker.port) as subscriber:
        subscriber.wait_for(TOPICS.status, "online")
        publisher.stop()
    retained = broker.retained()
    assert {retained[TOPICS.camera_status(f"camera-{n}")] for n in range(3)} == {b"last"}
    assert retained[TOPICS.status] == b"stopped"
