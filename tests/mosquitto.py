"""A real mosquitto on a free loopback port, and a subscriber that remembers what it saw."""

import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

HOST = "127.0.0.1"
DEADLINE_S = 20.0  # for anything that takes milliseconds on an idle machine


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Certificates:
    """A CA made for one test, and what it signed for 127.0.0.1 and for a client."""

    ca: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path


def make_certificates(folder: Path, server_name: str = "IP:127.0.0.1") -> Certificates:
    """Needs the ``openssl`` command; about 50 ms."""
    folder.mkdir(parents=True, exist_ok=True)

    def make(name: str, *options: str) -> tuple[Path, Path]:
        cert, key = folder / f"{name}.pem", folder / f"{name}.key"
        command = (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        )
        subject = ["-subj", f"/CN={name}", "-out", str(cert), "-keyout", str(key)]
        subprocess.run([*command.split(), *subject, *options], check=True, capture_output=True)
        return cert, key

    ca, ca_key = make("ca", "-addext", "keyUsage=critical,keyCertSign")
    signed = [
        "-CA",
        str(ca),
        "-CAkey",
        str(ca_key),
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]
    server = make("server", *signed, "-addext", f"subjectAltName={server_name}")
    client = make("client", *signed)
    return Certificates(ca, *server, *client)


class Mosquitto:
    """One broker; it can go away and come back on its port. Needs Debian's mosquitto."""

    def __init__(
        self,
        folder: Path,
        *,
        users: Mapping[str, str] | None = None,
        tls: Certificates | None = None,
        client_certificates: bool = False,
        persistence: bool = False,
        extra: str = "",
    ) -> None:
        """``users`` maps names to passwords (None: anybody); ``extra`` is more configuration."""
        folder.mkdir(parents=True, exist_ok=True)
        self.host = HOST
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._log = folder / "mosquitto.log"
        self._database = folder / "mosquitto.db"
        self._process: subprocess.Popen[bytes] | None = None
        # As root it would become another user and could not read the test's folder.
        lines = ["user root", f"listener {self.port} {HOST}", "log_type all", extra]
        if users is None:
            lines += ["allow_anonymous true"]
        else:
            passwords = folder / "passwords"
            passwords.touch()
            for name, word in users.items():
                command = [_program("mosquitto_passwd"), "-b", passwords, name, word]
                subprocess.run(command, check=True, capture_output=True)
            lines += ["allow_anonymous false", f"password_file {passwords}"]
        if tls is not None:
            lines += [f"certfile {tls.server_cert}", f"keyfile {tls.server_key}"]
        if tls is not None and client_certificates:
            lines += [f"cafile {tls.ca}", "require_certificate true"]
        if persistence:
            lines += ["persistence true", f"persistence_location {folder}/"]
        self._config.write_text("\n".join(lines) + "\n")

    def start(self) -> "Mosquitto":
        """Returns when it listens."""
        assert self._process is None, "already started"
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [_program("mosquitto"), "-c", self._config], stdout=output, stderr=output
            )
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex((self.host, self.port)) == 0:
                    return self
            time.sleep(0.01)  # nothing to wait on: the broker tells nobody when it listens
        raise AssertionError(f"mosquitto does not listen:\n{self.log()}")

    def stop(self) -> None:
        """SIGTERM: it saves its retained messages where it has persistence."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: connections are reset, nothing is saved."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nobody reads them."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def forget_everything(self) -> None:
        """Delete the saved messages of a stopped broker."""
        assert self._process is None, "still running"
        self._database.unlink()

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def retained(self, topics: str = "#", **credentials: str) -> dict[str, bytes]:
        """The retained messages now on the broker, by topic."""
        with Subscriber(self.host, self.port, topics, **credentials) as subscriber:
            subscriber.catch_up()
            return {topic: payload for topic, payload, retain in subscriber.seen if retain}

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            if how != signal.SIGKILL:
                self.thaw()  # a frozen process would never see it
            self._process.send_signal(how)
            self._process.wait(DEADLINE_S)
            self._process = None


class Subscriber:
    """Connected and subscribed once the block is entered; messages are kept in order of arrival."""

    def __init__(
        self,
        host: str,
        port: int,
        topics: str = "#",
        *,
        protocol: int = paho.MQTTv311,
        qos: int = 1,
        username: str | None = None,
        password: str | None = None,
        client_id: str | None = None,
        prepare: Callable[[paho.Client], object] = lambda client: None,
    ) -> None:
        """With a ``client_id`` its session persists: the broker keeps what it has not seen.

        ``prepare`` may set TLS or a will on the client before it connects.
        """
        self.seen: list[tuple[str, bytes, bool]] = []  # topic, payload, retained
        self.repeated: set[bytes] = set()  # sent again by the broker, which missed our answer
        self._changed = threading.Condition()
        self._subscribed = False
        self._address = (host, port)
        self._topics = (topics, qos)
        self._sentinel = f"catch-up/{uuid4()}"
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id or "",
            clean_session=None if protocol == paho.MQTTv5 else client_id is None,
            protocol=protocol,
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.username = username
        self._client.password = password
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        prepare(self._client)

    def __enter__(self) -> "Subscriber":
        self._client.connect(*self._address)
        self._client.loop_start()
        with self._changed:
            assert self._changed.wait_for(lambda: self._subscribed, DEADLINE_S), "no subscription"
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Nothing is seen any more after this: what comes later waits for the next of our id."""
        self._client.disconnect()
        self._client.loop_stop()

    def wait_for(self, topic: str, payload: str | bytes | None = None) -> bytes:
        """Wait for a message (seen before counts), optionally with this payload; its payload."""
        wanted = payload.encode() if isinstance(payload, str) else payload

        def found() -> bytes | None:
            hits = [p for t, p, _ in self.seen if t == topic and wanted in (None, p)]
            return hits[0] if hits else None

        with self._changed:
            if not self._changed.wait_for(lambda: found() is not None, DEADLINE_S):
                raise AssertionError(f"no {topic} {wanted!r} in {self.seen[-20:]}")
            result = found()
            assert result is not None
            return result

    def wait_until(self, seen: Callable[[], bool]) -> None:
        """Wait until what has been seen is enough; looked at with each message."""
        with self._changed:
            assert self._changed.wait_for(seen, 2 * DEADLINE_S), f"in vain: {self.seen[-20:]}"

    def payloads(self, topic: str) -> list[bytes]:
        """Everything seen on one topic, in order."""
        return [payload for name, payload, _ in list(self.seen) if name == topic]

    def topics(self) -> list[str]:
        """The topics seen, in order, repeated as they came."""
        return [topic for topic, _, _ in list(self.seen)]

    def publish(self, topic: str, payload: str | bytes) -> None:
        """At QoS 1, not retained; returns when the broker has it."""
        self._client.publish(topic, payload, qos=1).wait_for_publish(DEADLINE_S)

    def clear(self) -> None:
        with self._changed:
            self.seen.clear()

    def catch_up(self) -> None:
        """Wait until everything that the broker had for us when this was called has been seen."""
        self._client.publish(self._sentinel, "now", qos=1)
        self.wait_for(self._sentinel)
        with self._changed:
            self.seen[:] = [entry for entry in self.seen if entry[0] != self._sentinel]

    def _on_connect(self, client: paho.Client, *args: Any) -> None:
        client.subscribe([self._topics, (self._sentinel, 1)])

    def _on_subscribe(self, client: paho.Client, *args: Any) -> None:
        with self._changed:
            self._subscribed = True
            self._changed.notify_all()

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        with self._changed:
            self.seen.append((message.topic, bytes(message.payload), message.retain))
            if message.dup:
                self.repeated.add(bytes(message.payload))
            self._changed.notify_all()


def _program(name: str) -> str:
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    assert path, f"{name} is not installed (Debian package mosquitto)"
    return path


@pytest.fixture
def start_mosquitto(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Makes and starts brokers for one test: ``start_mosquitto(users={"edge": "secret"})``."""
    brokers: list[Mosquitto] = []

    def start(**options: Any) -> Mosquitto:
        brokers.append(Mosquitto(tmp_path / f"mosquitto-{len(brokers)}", **options))
        return brokers[-1].start()

    yield start
    for broker in brokers:
        broker.kill()


@pytest.fixture
def broker(start_mosquitto: Callable[..., Mosquitto]) -> Mosquitto:
    """A running broker that is open to anybody and keeps nothing on disk."""
    return start_mosquitto()
