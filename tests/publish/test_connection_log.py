import socket
import ssl

import pytest
from publishing import Said

from edge.publish.connection_log import ConnectionLog


@pytest.fixture
def connection_log(said: Said) -> ConnectionLog:
    return ConnectionLog("broker:1883", "rfdetr-edge-dock-7")


def test_same_failure_is_said_once_until_it_changes(connection_log: ConnectionLog, said: Said):
    for _ in range(5):
        connection_log.unreachable(ConnectionRefusedError(111, "Connection refused"))
    for _ in range(5):
        connection_log.refused("Not authorized")
        connection_log.lost(0.0, "Unspecified error")  # paho reports the end of it as well
    connection_log.unreachable(ConnectionRefusedError(111, "Connection refused"))
    assert [message.split(":")[2].split(";")[0] for message in said.messages] == [
        " nothing listens on that port",
        " not authorised (mqtt.username, mqtt.password_file, the access list)",
        " nothing listens on that port",
    ]


def test_failure_after_a_connection_is_said_again(connection_log: ConnectionLog, said: Said):
    connection_log.unreachable(TimeoutError())
    connection_log.connected(0.0)
    connection_log.lost(60.0, "Keep alive timeout")
    connection_log.unreachable(TimeoutError())
    assert said.messages == [
        "the broker at broker:1883 cannot be reached: no answer; trying again",
        "connected to the broker at broker:1883",
        "lost the connection to the broker at broker:1883: it stopped answering",
        "the broker at broker:1883 cannot be reached: no answer; trying again",
    ]


def test_closed_without_an_answer_suggests_tls(connection_log: ConnectionLog, said: Said):
    connection_log.lost(0.0, "Unspecified error")
    connection_log.lost(1.0, "Unspecified error")
    assert len(said.messages) == 1
    assert "does it expect TLS" in said.messages[0]


def test_clash_of_client_ids_is_one_sentence_then_silence(
    connection_log: ConnectionLog, said: Said
):
    for second in range(0, 100, 2):
        connection_log.connected(second)
        connection_log.lost(second + 1.0, "Unspecified error")
    assert len(said.messages) == 6  # two whole connections, the third, and the verdict
    assert said.messages[-1].startswith(
        "the broker at broker:1883 has ended 3 connections in a row within 10 s each: another "
        "client uses the client id 'rfdetr-edge-dock-7'"
    )


def test_a_broker_that_restarts_often_is_no_clash(connection_log: ConnectionLog, said: Said):
    for at_s in range(0, 50, 5):
        connection_log.connected(at_s)
        connection_log.lost(at_s + 1, "Unspecified error")
        connection_log.unreachable(ConnectionRefusedError(111, "Connection refused"))
    assert not [message for message in said.messages if "in a row" in message]


def test_silence_after_a_clash_ends_when_a_connection_lasts(
    connection_log: ConnectionLog, said: Said
):
    for second in range(0, 8, 2):
        connection_log.connected(second)
        connection_log.lost(second + 1.0, "Unspecified error")
    said.messages.clear()
    connection_log.connected(10.0)
    connection_log.still_connected(19.9)
    assert said.messages == []
    connection_log.still_connected(20.0)
    connection_log.still_connected(21.0)
    assert said.messages == ["the connection to the broker at broker:1883 lasts again"]


@pytest.mark.parametrize(
    ("error", "part"),
    [
        (socket.gaierror(-2, "Name or service not known"), "its name cannot be looked up"),
        (ConnectionResetError(104, "Connection reset by peer"), "do both sides speak TLS"),
        (OSError(113, "No route to host"), "No route to host"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] x"), "the TLS handshake failed"),
        (None, "no reason given"),
    ],
)
def test_errors_in_words(
    error: OSError | None, part: str, connection_log: ConnectionLog, said: Said
):
    connection_log.unreachable(error)
    assert part in said.messages[0]


def test_a_broker_that_accepts_and_does_not_answer_is_told_from_one_that_hangs_up(
    connection_log: ConnectionLog, said: Said
):
    connection_log.connecting(100.0)
    connection_log.lost(105.0, "Keep alive timeout")
    connection_log.connecting(106.0)
    connection_log.lost(106.1, "Unspecified error")
    assert [message.split(" at broker:1883 ")[1].split(":")[0] for message in said.messages] == [
        "accepts connections and does not answer",
        "closed the connection before accepting it",
    ]
