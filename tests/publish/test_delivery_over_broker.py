"""Events through a real broker that stops, restarts and dies, from a process that is killed."""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mosquitto import DEADLINE_S, Mosquitto, Subscriber
from publishing import DOCK, TOPICS, go
from spooling import event

from edge.clock import Clock
from edge.config import SpoolSettings
from edge.metrics import Metrics
from edge.publish.delivery import EventDelivery
from edge.publish.mqtt import Publisher

pytestmark = pytest.mark.e2e

EVENTS = "rfdetr-edge/dock-7/+/events"
# What the broker keeps for a subscriber, else 1000 messages, is not what is tested here.
UNBOUNDED = "max_queued_messages 0\nmax_inflight_messages 0"
CAMERAS = ("dock", "gate", "yard")

MakePublisher = Callable[..., Publisher]
StartMosquitto = Callable[..., Mosquitto]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def make_delivery(tmp_path: Path, metrics: Metrics) -> Iterator[Callable[..., EventDelivery]]:
    """Deliveries whose threads run, one after the other on the same spool."""
    running: list[EventDelivery] = []

    def make(publisher: Publisher, session: str = "session1", **settings) -> EventDelivery:
        spool = SpoolSettings(path=tmp_path / "spool.db", **{"replay_rate": 1e6, **settings})
        delivery = EventDelivery(spool, session, publisher, TOPICS, metrics, Clock())
        threading.Thread(target=delivery.run, name="spool").start()
        running.append(delivery)
        return delivery

    yield make
    for delivery in running:
        delivery.stop(0)


def wait_until(condition: Callable[[], object], within_s: float = DEADLINE_S) -> None:
    deadline_s = time.monotonic() + within_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline_s
        pause.wait(0.005)


def append(delivery: EventDelivery, metrics: Metrics, count: int, prefix: str = "e") -> None:
    """Objects of two events each, in turns on three cameras, no faster than the disk is."""
    for n in range(count):
        camera, number = CAMERAS[n % 3], n // 3
        name = f"{prefix}{number // 2}-{camera}"
        delivery.append(event(("new", "end")[number % 2], name, camera, pad=0))
        if n % 1000 == 999:
            wait_until(lambda: len(delivery._store.unspooled) < 1000)


def seqs_by_camera(seen: Iterable[tuple[str, bytes, bool]]) -> dict[str, list[int]]:
    seqs: dict[str, list[int]] = defaultdict(list)
    for topic, payload, _ in seen:
        seqs[topic.split("/")[2]].append(json.loads(payload)["seq"])
    return dict(seqs)


def everything(metrics: Metrics) -> Callable[[], bool]:
    """The broker has all there was."""
    return lambda: metrics.registry.get_sample_value("rfdetr_edge_spool_messages") == 0


def test_more_events_than_there_are_packet_ids_wait_for_the_broker(
    start_mosquitto: StartMosquitto,
    make_publisher: MakePublisher,
    make_delivery: Callable[..., EventDelivery],
    metrics: Metrics,
):
    broker = start_mosquitto(extra=UNBOUNDED)
    broker.stop()
    publisher = go(make_publisher(broker, metrics))
    delivery = make_delivery(publisher)
    append(delivery, metrics, 66_000)
    broker.start()
    with Subscriber(broker.host, broker.port, EVENTS) as subscriber:
        wait_until(everything(metrics), 90)
        subscriber.catch_up()
        assert seqs_by_camera(subscriber.seen) == {c: [*range(1, 22_001)] for c in CAMERAS}
        assert all(b'"replayed":true' in payload for _, payload, _ in subscriber.seen)


def test_statuses_and_frames_do_not_wait_for_a_backlog(
    start_mosquitto: StartMosquitto,
    make_publisher: MakePublisher,
    make_delivery: Callable[..., EventDelivery],
    metrics: Metrics,
):
    broker = start_mosquitto(extra=UNBOUNDED)
    broker.stop()
    publisher = go(make_publisher(broker, metrics))
    delivery = make_delivery(publisher)
    append(delivery, metrics, 6000)
    broker.start()
    with Subscriber(broker.host, broker.port) as subscriber:
        wait_until(lambda: subscriber.topics().count(TOPICS.events("dock")) > 10)
        publisher.publish_retained(DOCK, "degraded")
        assert publisher.publish_frame(TOPICS.frame("dock"), b"{}")
        wait_until(everything(metrics))
        subscriber.catch_up()
        topics = subscriber.topics()
        rest = topics[topics.index(TOPICS.frame("dock")) :]
        assert (DOCK, b"degraded") in [entry[:2] for entry in subscriber.seen]
        assert sum(topic.endswith("/events") for topic in rest) > 3000


@pytest.mark.parametrize("how", ["stop", "freeze"])
def test_broker_that_goes_and_comes_gets_every_event_in_order(
    start_mosquitto: StartMosquitto,
    make_publisher: MakePublisher,
    make_delivery: Callable[..., EventDelivery],
    metrics: Metrics,
    how: str,
):
    broker = start_mosquitto(extra=UNBOUNDED, persistence=True)
    publisher = go(make_publisher(broker, metrics))
    delivery = make_delivery(publisher)
    done = threading.Event()
    counts: list[int] = []

    def stream() -> None:
        for n in range(10**6):
            append(delivery, metrics, 6, f"stream{n}-")
            if done.wait(0.002):
                counts.append((n + 1) * 2)
                return

    with Subscriber(broker.host, broker.port, EVENTS, client_id="reader") as subscriber:
        streaming = threading.Thread(target=stream)
        streaming.start()
        for turn in range(1, 4):
            wait_until(lambda: len(subscriber.seen) > 300 * turn)  # noqa: B023
            if how == "freeze":
                broker.freeze()
                wait_until(lambda: len(delivery._outgoing.in_flight) >= 50)
                broker.thaw()
            else:
                broker.stop()
                wait_until(lambda: not publisher.connected)
                broker.start()
        wait_until(lambda: publisher.connection)
        done.set()
        streaming.join()
        wait_until(everything(metrics))
        wait_until(lambda: publisher.connected)
        subscriber.catch_up()
        for camera, seqs in seqs_by_camera(subscriber.seen).items():
            assert list(dict.fromkeys(seqs)) == [*range(1, counts[0] + 1)], camera
        without_duplicates(subscriber.seen)


def test_what_a_killed_broker_had_not_acknowledged_is_sent_again(
    start_mosquitto: StartMosquitto,
    make_publisher: MakePublisher,
    make_delivery: Callable[..., EventDelivery],
    metrics: Metrics,
):
    broker = start_mosquitto(extra=UNBOUNDED, persistence=True)
    with Subscriber(broker.host, broker.port, EVENTS, client_id="reader") as subscriber:
        broker.stop()  # the subscription is in its file now, and stays there when it is killed
        broker.start()
        delivery = make_delivery(go(make_publisher(broker, metrics)))
        for turn in range(3):
            append(delivery, metrics, 60, f"before{turn}-")
            wait_until(lambda: len(set(subscriber.seen)) == 180 * turn + 60)  # noqa: B023
            wait_until(everything(metrics))
            broker.freeze()
            append(delivery, metrics, 60, f"unread{turn}-")
            wait_until(lambda: len(delivery._outgoing.in_flight) == 60)
            broker.kill()
            append(delivery, metrics, 60, f"away{turn}-")
            broker.start()
            wait_until(everything(metrics))
            wait_until(lambda: len(set(subscriber.seen)) == 180 * turn + 180)  # noqa: B023
        assert seqs_by_camera(subscriber.seen) == {c: [*range(1, 181)] for c in CAMERAS}
        for _, payload, _ in subscriber.seen:
            if b'"unread' in payload:
                assert b'"replayed":true' in payload


def without_duplicates(seen: Iterable[tuple[str, bytes, bool]]) -> list[tuple[str, dict]]:
    """Topic and message of each at its first arrival; those of one identity must be equal.

    But for the mark, which what the broker itself sends twice has not.
    """
    first: dict[tuple[str, str, int], dict] = {}
    for topic, payload, _ in seen:
        message = json.loads(payload)
        message.pop("replayed", None)
        assert message == first.setdefault((topic, message["session"], message["seq"]), message)
    return [(topic, message) for (topic, _, _), message in first.items()]


# -- a process that is killed ---------------------------------------------------------------------


@contextmanager
def writer(broker: Mosquitto, state: Path, session: str) -> Iterator[None]:
    """Killed at the end of the block."""
    process = subprocess.Popen(
        [
            sys.executable,
            Path(__file__).with_name("event_writer.py"),
            str(broker.port),
            str(state),
            session,
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))},
    )
    try:
        yield
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def committed(state: Path) -> set[tuple[str, str, int]]:
    """Session, camera and seq of what the spool holds, read from a copy."""
    copy = state / "copy.db"
    for end in ("", "-wal"):
        source = state / f"spool.db{end}"
        if source.exists():
            shutil.copy(source, f"{copy}{end}")
    db = sqlite3.connect(copy)
    rows = set(db.execute("SELECT session, camera, seq FROM events"))
    db.close()
    for left in state.glob("copy.db*"):
        left.unlink()
    return rows


def test_process_killed_twenty_times_loses_no_committed_event(
    start_mosquitto: StartMosquitto, tmp_path: Path
):
    broker = start_mosquitto(extra=UNBOUNDED, persistence=True)
    state = tmp_path / "state"
    when = random.Random(7)
    expected: set[tuple[str, str, int]] = set()
    with Subscriber(broker.host, broker.port, EVENTS, client_id="reader") as subscriber:
        for turn in range(20):
            before = len(subscriber.seen)
            with writer(broker, state, f"{turn:08x}"):
                if turn % 5 == 4:
                    broker.stop()  # what this one writes is on disk alone
                    wait_until((state / "spool.db-wal").exists)
                    threading.Event().wait(1.0 + when.random())
                else:
                    wait_until(lambda: len(subscriber.seen) > before + 50)  # noqa: B023
                    threading.Event().wait(when.random() * 0.3)
            expected |= committed(state)
            if turn % 5 == 4:
                broker.start()
        with writer(broker, state, "x1"):
            wait_until(lambda: any(b'"x1-' in payload for _, payload, _ in subscriber.seen[-50:]))
        expected |= committed(state)
        with writer(broker, state, "x2"):
            wait_until(lambda: any(b'"x2-' in p for _, p, _ in subscriber.seen[-50:]))
        subscriber.catch_up()
        seen = list(subscriber.seen)

    messages = without_duplicates(seen)
    arrived = {(m["session"], topic.split("/")[2], m["seq"]) for topic, m in messages}
    assert expected <= arrived
    assert len(expected) > 20
    check_order(messages)
    check_lifecycles(messages)


def check_order(messages: list[tuple[str, dict]]) -> None:
    """Each session is complete, and behind the one before it."""
    by_camera: dict[str, dict[str, list[int]]] = defaultdict(dict)
    last: dict[str, str] = {}
    for topic, message in messages:
        session = message["session"]
        if last.get(topic) != session:
            assert session not in by_camera[topic], f"{session} was over"
            last[topic] = session
        by_camera[topic].setdefault(session, []).append(message["seq"])
    for sessions in by_camera.values():
        assert list(sessions) == sorted(sessions)
        assert len(sessions) > 10
        for session, seqs in sessions.items():
            assert seqs == [*range(1, len(seqs) + 1)], session


def check_lifecycles(messages: list[tuple[str, dict]]) -> None:
    """Each object begins once, and ends once but for those of the two last sessions."""
    told: dict[str, list[str]] = defaultdict(list)
    for _, message in messages:
        told[message["event_id"]].append(message["type"])
    for name, types in told.items():
        assert types[0] == "new", name
        assert types.count("new") == 1, name
        if not name.startswith(("x1", "x2")):
            assert types[-1] == "end", name
            assert types.count("end") == 1, name
