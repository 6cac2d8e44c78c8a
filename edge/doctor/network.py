"""The broker and the page's port of a configuration."""

import errno
import secrets
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge.doctor.finding import Finding, fail, ok

if TYPE_CHECKING:
    from edge.config import HttpSettings, MqttSettings

ANSWER_S = 5.0
_START_FIX = "start it, or correct mqtt.host and mqtt.port"


def broker(settings: "MqttSettings", answer_s: float = ANSWER_S) -> Iterator[Finding]:
    """Connect as the daemon does, under another client id: its own connection stays.

    Nothing is published, and there is no will.
    """
    from edge.publish.client import MqttSetupError, make_client

    where = f"{settings.host}:{settings.port}"
    try:
        client = make_client(
            settings.model_copy(
                update={"client_id": f"{settings.client_id}-doctor-{secrets.token_hex(4)}"}
            ),
            "unused",
            b"",
        )
    except MqttSetupError as error:
        yield fail("broker", f"{error}", "correct that key")
        return
    client.will_clear()
    client.connect_timeout = answer_s
    answered = threading.Event()
    answer: list[object] = []

    def on_connect(
        _client: object, _userdata: object, _flags: object, reason: object, _: object
    ) -> None:
        answer.append(reason)
        answered.set()

    client.on_connect = on_connect
    client.on_disconnect = lambda *_: answered.set()
    try:
        client.connect(settings.host, settings.port, settings.keepalive_s)
    except ssl.SSLCertVerificationError as error:
        yield fail(
            "broker",
            f"{where} shows a certificate that is not accepted: {error.verify_message}",
            "set mqtt.tls.ca_file to the CA that signed it; and see that the clock is right",
        )
        return
    except ssl.SSLError:
        yield fail(
            "broker", f"{where} does not speak TLS", "correct mqtt.port (often 8883), or mqtt.tls"
        )
        return
    except socket.gaierror:
        yield fail(
            "broker",
            f"the name {settings.host} cannot be resolved",
            "correct mqtt.host, or the name server of this machine",
        )
        return
    except OSError as error:
        why = "no answer" if isinstance(error, TimeoutError) else (error.strerror or str(error))
        yield fail("broker", f"{where} cannot be reached: {why}", _START_FIX)
        return
    client.loop_start()
    try:
        answered.wait(answer_s)
    finally:
        client.disconnect()
        client.loop_stop()
    yield _verdict(settings, where, answer)


def _verdict(settings: "MqttSettings", where: str, answer: list[object]) -> Finding:
    if not answer:
        return fail(
            "broker",
            f"{where} does not answer in MQTT",
            "see whether that port is the broker's, and whether it wants TLS (mqtt.tls)",
        )
    reason = answer[0]
    if getattr(reason, "is_failure", False):
        return fail(
            "broker",
            f"{where} refuses us: {reason}",
            "correct mqtt.username and mqtt.password_file, or the broker's list of users",
        )
    ciphered = "with TLS" if settings.tls is not False else "without TLS"
    who = f"as {settings.username}" if settings.username is not None else "without a user name"
    return ok("broker", f"{where} accepts us, {ciphered}, {who}")


def page(settings: "HttpSettings", daemon_runs: bool) -> Iterator[Finding]:
    where = f"{settings.host}:{settings.port}"
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            yield fail(
                "page",
                f"{where} cannot be listened on: {error.strerror or error}",
                "http.host must be an address of this machine, http.port above 1023",
            )
        elif daemon_runs:
            yield ok("page", f"{where} is in use, as it should be while the daemon runs")
        else:
            yield fail(
                "page",
                f"{where} is taken by another program",
                f"ss -ltnp 'sport = :{settings.port}' names it; or set another http.port",
            )
    else:
        yield ok("page", f"{where} is free" if settings.port else f"{where}, any port that is free")
