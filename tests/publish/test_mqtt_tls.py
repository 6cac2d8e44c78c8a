"""TLS to the broker, with a CA made in the test; and files that cannot work."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from mosquitto import Certificates, Mosquitto, Subscriber, make_certificates
from publishing import TOPICS, Said

from edge.config import MqttSettings
from edge.publish.client import MqttSetupError, make_client
from edge.publish.mqtt import Publisher

MakePublisher = Callable[..., Publisher]
StartMosquitto = Callable[..., Mosquitto]


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path / "ours")


def go(publisher: Publisher) -> Publisher:
    publisher.settle()
    publisher.start()
    return publisher


@pytest.mark.e2e
def test_certificate_of_our_ca_is_accepted(
    start_mosquitto: StartMosquitto, make_publisher: MakePublisher, certificates: Certificates
):
    broker = start_mosquitto(tls=certificates)

    def trust(client: paho.Client) -> None:
        client.tls_set(certificates.ca)

    with Subscriber(broker.host, broker.port, prepare=trust) as subscriber:
        publisher = go(make_publisher(broker, tls={"ca_file": certificates.ca}))
        subscriber.wait_for(TOPICS.status, "online")
        assert publisher.publish_frame(TOPICS.frame("dock"), b"x" * 100_000)
        subscriber.wait_for(TOPICS.frame("dock"), b"x" * 100_000)
        publisher.stop()
        subscriber.wait_for(TOPICS.status, "stopped")


@pytest.mark.e2e
@pytest.mark.parametrize("tls", ["another CA", "the system's CAs"])
def test_certificate_of_a_stranger_is_refused_in_one_sentence(
    start_mosquitto: StartMosquitto,
    make_publisher: MakePublisher,
    certificates: Certificates,
    said: Said,
    tmp_path: Path,
    tls: str,
):
    broker = start_mosquitto(tls=certificates)
    stranger = make_certificates(tmp_path / "stranger").ca
    publisher = make_publisher(broker, tls={"ca_file": stranger} if tls == "another CA" else True)
    go(publisher)
    assert "(mqtt.tls.ca_file)" in said.wait_for("its TLS certificate was not accepted")
    assert not publisher.connected


@pytest.mark.e2e
def test_certificate_for_another_host_is_refused(
    start_mosquitto: StartMosquitto, make_publisher: MakePublisher, tmp_path: Path, said: Said
):
    certificates = make_certificates(tmp_path / "elsewhere", server_name="DNS:broker.example")
    broker = start_mosquitto(tls=certificates)
    go(make_publisher(broker, tls={"ca_file": certificates.ca}))
    assert "IP address mismatch" in said.wait_for("its TLS certificate was not accepted")


@pytest.mark.e2e
def test_client_certificate_opens_a_broker_that_asks_for_one(
    start_mosquitto: StartMosquitto,
    make_publisher: MakePublisher,
    certificates: Certificates,
    said: Said,
):
    broker = start_mosquitto(tls=certificates, client_certificates=True)
    stranger = go(make_publisher(broker, tls={"ca_file": certificates.ca}))
    assert "a client certificate" in said.wait_for("before accepting it")
    stranger.stop()
    tls = {
        "ca_file": certificates.ca,
        "cert_file": certificates.client_cert,
        "key_file": certificates.client_key,
    }
    go(make_publisher(broker, tls=tls))
    said.wait_for("connected to the broker")


@pytest.mark.e2e
def test_plain_client_at_a_tls_port_is_told(
    start_mosquitto: StartMosquitto,
    make_publisher: MakePublisher,
    certificates: Certificates,
    said: Said,
):
    go(make_publisher(start_mosquitto(tls=certificates)))
    assert "does it expect TLS" in said.wait_for("before accepting it")


@pytest.mark.e2e
def test_tls_client_at_a_plain_port_is_told(
    broker: Mosquitto, make_publisher: MakePublisher, said: Said
):
    go(make_publisher(broker, tls=True))
    assert "mqtt.tls" in said.wait_for("cannot be reached")


def refusal(**settings: Any) -> str:
    with pytest.raises(MqttSetupError) as error:
        make_client(MqttSettings(**settings), "b/status", b"offline")
    return str(error.value)


def test_host_that_is_no_name_is_refused():
    assert refusal(host="a..b") == "mqtt.host: 'a..b' is not a host name"


def test_file_that_is_no_certificate_is_refused():
    assert refusal(tls={"ca_file": __file__}).startswith("mqtt.tls.ca_file: cannot use ")
    assert "no usable PEM file" in refusal(tls={"cert_file": __file__, "key_file": __file__})


def test_key_of_another_certificate_is_refused(certificates: Certificates):
    files = {"cert_file": certificates.client_cert, "key_file": certificates.server_key}
    assert "KEY_VALUES_MISMATCH" in refusal(tls=files)


def test_encrypted_key_is_refused_and_nobody_is_asked(certificates: Certificates, tmp_path: Path):
    locked = tmp_path / "locked.key"
    command = ["openssl", "ec", "-aes256", "-passout", "pass:x", "-out", locked]
    subprocess.run([*command, "-in", certificates.client_key], check=True, capture_output=True)
    sentence = refusal(tls={"cert_file": certificates.client_cert, "key_file": locked})
    assert sentence.endswith("the key is encrypted; give one without a passphrase")


def test_password_file_that_has_gone_is_refused(tmp_path: Path):
    file = tmp_path / "password"
    file.write_text("secret")
    settings = MqttSettings(username="u", password_file=file)
    file.unlink()
    with pytest.raises(MqttSetupError, match=r"mqtt.password_file: cannot read .*: No such file"):
        make_client(settings, "b/status", b"offline")
