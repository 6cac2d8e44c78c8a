"""A paho client as the configuration asks for it, not yet connected."""

import socket
import ssl
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edge.config import MqttSettings, TlsSettings, read_secret

_RECONNECT_S = (1, 30)  # doubled from the first to the second while nothing answers


class MqttSetupError(ValueError):
    """The mqtt section cannot work on this machine; one sentence that starts with the key."""

    exit_code = 78


def make_client(settings: MqttSettings, will_topic: str, will: bytes) -> paho.Client:
    """MQTT 3.1.1, clean session, the will retained at QoS 1, credentials and TLS as configured.

    Reads the password and certificate files. Raises ``MqttSetupError``.
    """
    try:
        settings.host.encode("idna")  # what the look-up does later, in a thread that must not fail
    except UnicodeError as error:
        raise MqttSetupError(f"mqtt.host: {settings.host!r} is not a host name") from error
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=settings.client_id,
        clean_session=True,
        protocol=paho.MQTTv311,
    )
    client.will_set(will_topic, will, qos=1, retain=True)
    client.reconnect_delay_set(*_RECONNECT_S)
    # Not paho's queue behind 20 unacknowledged messages: a status would wait there behind events.
    client.max_inflight_messages_set(0)
    client.on_socket_open = _send_at_once
    if settings.username is not None:
        client.username_pw_set(settings.username, _password(settings.password_file))
    if settings.tls is not False:
        client.tls_set_context(_tls_context(None if settings.tls is True else settings.tls))
    return client


def hang_up(client: paho.Client) -> None:
    """End a connection whose other side does not do its part; paho's thread sees it."""
    sock = client.socket()
    if isinstance(sock, socket.socket):
        try:
            # Not SSLSocket's own shutdown: that changes an object which paho's thread is using.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
        except OSError:
            pass  # it has just ended by itself


def _send_at_once(client: paho.Client, userdata: object, sock: object) -> None:
    # Small messages at a steady rate are what Nagle's algorithm holds back for a round trip.
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def confirm_at_once(client: paho.Client) -> None:
    """Have the kernel confirm what it has received now, and not with what is sent next.

    A broker whose own Nagle's algorithm waits for that holds its next acknowledgement back, by up
    to 40 ms. The kernel forgets it; so this is asked for with each acknowledgement.
    """
    sock = client.socket()
    if isinstance(sock, socket.socket):
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        except OSError:
            pass  # the connection has just ended


def _password(path: Path | None) -> str | None:
    try:
        return None if path is None else read_secret(path)
    except (OSError, UnicodeDecodeError) as error:
        raise MqttSetupError(f"mqtt.password_file: cannot read {path}: {_why(error)}") from error


class _HandshakeSocket(ssl.SSLSocket):
    """Closes itself where the handshake fails; paho would leave it to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _tls_context(settings: TlsSettings | None) -> ssl.SSLContext:
    """Verifies certificate and host name; without ``ca_file`` against the system's CAs."""
    ca_file = settings.ca_file if settings else None
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # as ssl.SSLError is
        raise MqttSetupError(f"mqtt.tls.ca_file: cannot use {ca_file}: {_why(error)}") from error
    context.sslsocket_class = _HandshakeSocket
    if settings and settings.cert_file is not None:
        try:
            # Without a password callback OpenSSL would ask for one on the terminal and wait.
            context.load_cert_chain(settings.cert_file, settings.key_file, password=_no_passphrase)
        except (OSError, ValueError) as error:
            raise MqttSetupError(
                f"mqtt.tls.cert_file, key_file: cannot use {settings.cert_file} with "
                f"{settings.key_file}: {_why(error)}"
            ) from error
    return context


def _no_passphrase() -> str:
    raise ValueError("the key is encrypted; give one without a passphrase")


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"no usable PEM file ({getattr(error, 'reason', None) or error})"
    if isinstance(error, OSError):
        return str(error.strerror)
    return "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
