"""A broker that keeps the connection and stops reading: nothing blocks, nothing grows."""

import threading
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from mosquitto import DEADLINE_S, Mosquitto, Subscriber
from publishing import TOPICS, Said

from edge.clock import Clock
from edge.metrics import Metrics
from edge.publish.mqtt import Publisher

pytestmark = pytest.mark.e2e

FRAME = TOPICS.frame("dock")
DOCK = TOPICS.camera_status("dock")
BODY = b"x" * 8192
FRAMES = 3000  # 24 MB; the kernel's own buffers on loopback take less than half of it


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def publisher(
    broker: Mosquitto, make_publisher: Callable[..., Publisher], metrics: Metrics
) -> Iterator[Publisher]:
    """Connected to a broker that has just been frozen."""
    publisher = make_publisher(broker, metrics)
    publisher.settle()
    publisher.start()
    with Subscriber(broker.host, broker.port) as subscriber:
        subscriber.wait_for(TOPICS.status, "online")
    broker.freeze()
    yield publisher
    broker.thaw()


def fill(publisher: Publisher) -> None:
    """Publish until the kernel takes no more and the client neither."""
    refused_in_a_row, pause = 0, threading.Event()
    while refused_in_a_row < 50:
        if publisher.publish_frame(FRAME, BODY):
            refused_in_a_row = 0
        else:
            refused_in_a_row += 1
            pause.wait(0.005)  # the client's thread may still find room in the socket


def test_frames_are_dropped_and_counted_in_bounded_memory(publisher: Publisher, metrics: Metrics):
    clock = Clock()
    tracemalloc.start()
    try:
        slowest_s = 0.0
        taken = 0
        for _ in range(FRAMES):
            before_s = clock.uptime_s()
            taken += publisher.publish_frame(FRAME, BODY)
            slowest_s = max(slowest_s, clock.uptime_s() - before_s)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    dropped = metrics.registry.get_sample_value("rfdetr_edge_mqtt_dropped_total", {"kind": "frame"})
    assert 0 < taken < FRAMES
    assert dropped == FRAMES - taken
    assert peak < 4_000_000
    assert slowest_s < 1.0  # on a busy machine; nothing here waits for the network


def test_frames_flow_again_when_the_broker_reads_again(publisher: Publisher, broker: Mosquitto):
    fill(publisher)
    assert not publisher.publish_frame(FRAME, b"too late")
    broker.thaw()
    with Subscriber(broker.host, broker.port, FRAME) as subscriber:
        wait_until(lambda: publisher.publish_frame(FRAME, b"again"))
        subscriber.wait_for(FRAME, b"again")
        assert b"too late" not in subscriber.payloads(FRAME)


def test_newest_retained_state_arrives_however_many_changes_had_no_room(
    publisher: Publisher, broker: Mosquitto, metrics: Metrics
):
    for turn in range(2000):
        publisher.publish_retained(DOCK, str(turn))
    sent = metrics.registry.get_sample_value("rfdetr_edge_mqtt_messages_total", {"kind": "status"})
    assert sent is not None
    assert sent <= 501
    broker.thaw()
    with Subscriber(broker.host, broker.port, DOCK) as subscriber:
        # The next message of any kind takes the state along once there is room.
        wait_until(
            lambda: (
                publisher.publish(TOPICS.heartbeat, "{}", qos=0, kind="heartbeat")
                and b"1999" in subscriber.payloads(DOCK)
            )
        )
        assert subscriber.payloads(DOCK)[-1] == b"1999"


def test_stop_is_bounded_and_leaves_the_word_to_the_will(
    publisher: Publisher, broker: Mosquitto, said: Said
):
    fill(publisher)
    clock = Clock()
    before_s = clock.uptime_s()
    publisher.stop(timeout_s=0.2)
    assert clock.uptime_s() - before_s < 3.0
    said.wait_for("without the broker's acknowledgement")
    broker.thaw()
    with Subscriber(broker.host, broker.port, TOPICS.status) as subscriber:
        subscriber.wait_for(TOPICS.status, "offline")


def wait_until(condition: Callable[[], object]) -> None:
    """Ask again and again, as the daemon's loops do, until it holds."""
    clock, pause = Clock(), threading.Event()
    deadline_s = clock.uptime_s() + DEADLINE_S
    while not condition():
        assert clock.uptime_s() < deadline_s
        pause.wait(0.01)
