"""The demo's own broker, seen with mosquitto's tools."""

import logging
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from mosquitto import DEADLINE_S, HOST, Subscriber, free_port

from edge.demo_broker import DemoBroker, DemoBrokerError


@pytest.fixture
def port() -> Iterator[int]:
    broker = DemoBroker(free_port())
    yield broker.start()
    broker.stop()


@pytest.mark.e2e
def test_mosquitto_sub_gets_retained_messages(port: int):
    address = ["-h", HOST, "-p", str(port)]
    publish = ["mosquitto_pub", *address, "-t", "demo/status", "-m", "online", "-q", "1", "-r"]
    subscribe = ["mosquitto_sub", *address, "-t", "demo/#", "-C", "1", "-W", "20", "-F", "%r %t %p"]
    subprocess.run(publish, check=True)
    seen = subprocess.run(subscribe, check=True, capture_output=True, text=True)
    assert seen.stdout == "1 demo/status online\n"


@pytest.mark.e2e
def test_last_will_of_a_killed_client_is_sent(port: int):
    address = ["-h", HOST, "-p", str(port), "-t", "nothing/here"]
    will = ["--will-topic", "demo/status", "--will-payload", "offline", "--will-retain"]
    with Subscriber(HOST, port, "demo/#") as subscriber:
        client = subprocess.Popen(
            ["stdbuf", "-oL", "mosquitto_sub", "-d", *address, *will],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert client.stdout is not None
            while "SUBACK" not in client.stdout.readline():
                assert client.poll() is None
        finally:
            client.kill()
            client.communicate()
        subscriber.wait_for("demo/status", "offline")


def test_taken_port_gives_the_next_free_one():
    with socket.create_server((HOST, 0)) as server:
        taken = server.getsockname()[1]
        broker = DemoBroker(taken)
        port = broker.start()
        assert taken < port <= taken + 100
        with Subscriber(HOST, port) as subscriber:
            subscriber.catch_up()
        broker.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port), DEADLINE_S)


def test_stop_disconnects_clients_and_may_be_called_again(caplog: pytest.LogCaptureFixture):
    broker = DemoBroker(free_port())
    with caplog.at_level(logging.DEBUG):
        port = broker.start()
        with Subscriber(HOST, port, "#") as subscriber:
            subscriber.catch_up()
            broker.stop()
        broker.stop()
    assert [record for record in caplog.records if record.name.startswith("amqtt")] == []


def test_missing_amqtt_is_one_sentence_with_the_command(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "amqtt", None)
    monkeypatch.setitem(sys.modules, "amqtt.broker", None)
    with pytest.raises(DemoBrokerError, match=r"pip install '\.\[demo\]'"):
        DemoBroker().start()


def test_amqtt_is_imported_late():
    program = "import sys, edge.demo_broker; sys.exit('amqtt' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.e2e
def test_a_client_that_leaves_leaves_nothing_in_the_log(caplog: pytest.LogCaptureFixture):
    broker = DemoBroker(free_port())
    port = broker.start()
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            with Subscriber(HOST, port) as subscriber:
                subscriber.catch_up()
        leaving = ["mosquitto_sub", "-h", HOST, "-p", str(port), "-t", "#", "-W", "1"]
        subprocess.run(leaving, check=False, capture_output=True)
        broker.stop()
    assert [record.getMessage() for record in caplog.records] == []
