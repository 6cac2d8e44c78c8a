"""What the log says about the connection to the broker: each thing once, until it changes."""

import logging
import socket
import ssl

log = logging.getLogger(__name__)

_SHORT_S = 10.0  # a connection that ends sooner was probably taken over
_NO_ANSWER_S = 2.0  # a broker that lets so much time pass before it hangs up has not read us
_CLASH_AFTER = 3  # short connections in a row

# MQTT 3.1.1 CONNACK return codes, as paho names them (its MQTT 5 wording)
_REFUSALS = {
    "Bad user name or password": "wrong user name or password (mqtt.username, mqtt.password_file)",
    "Not authorized": "not authorised (mqtt.username, mqtt.password_file, the access list)",
    "Client identifier not valid": "it does not accept the client id (mqtt.client_id)",
    "Server unavailable": "it says that it is unavailable",
    "Unsupported protocol version": "it does not speak MQTT 3.1.1",
}
# How a connection ended, as paho names it
_ENDS = {
    "Keep alive timeout": "it stopped answering",
    "Unspecified error": "closed by the broker or the network",
}


class ConnectionLog:
    """Turns what happens to the connection into sentences, without one a retry.

    Times are seconds on any one clock. Knows host, port and client id, and no credentials. Used by
    paho's thread only.
    """

    def __init__(self, broker: str, client_id: str) -> None:
        self._broker = broker
        self._client_id = client_id
        self._last_failure = ""
        self._refused = False  # and about to be closed for it
        self._connecting_at_s = 0.0
        self._connected_at_s: float | None = None
        self._short_in_a_row = 0

    def connecting(self, at_s: float) -> None:
        self._connecting_at_s = at_s

    def connected(self, at_s: float) -> None:
        self._connected_at_s = at_s
        self._last_failure = ""
        if self._short_in_a_row < _CLASH_AFTER:
            log.info("connected to the broker at %s", self._broker)

    def still_connected(self, at_s: float) -> None:
        """Something went through; ends the silence after a clash once a connection has lasted."""
        if self._short_in_a_row < _CLASH_AFTER or self._connected_at_s is None:
            return
        if at_s - self._connected_at_s >= _SHORT_S:
            self._short_in_a_row = 0
            log.info("the connection to the broker at %s lasts again", self._broker)

    def refused(self, reason: str) -> None:
        """The broker answered the CONNECT and said no; ``reason`` is paho's name for its code."""
        self._refused = True
        self._failed(f"refused the connection: {_REFUSALS.get(reason, reason)}")

    def unreachable(self, error: BaseException | None) -> None:
        """No connection, or no TLS on it."""
        self._short_in_a_row = 0  # the broker itself went away: nobody fights over our client id
        self._failed(f"cannot be reached: {_in_words(error)}")

    def lost(self, at_s: float, reason: str) -> None:
        """The connection ended and we did not ask for it; ``reason`` as paho names it."""
        if self._connected_at_s is None:
            if not self._refused and at_s - self._connecting_at_s >= _NO_ANSWER_S:
                self._failed("accepts connections and does not answer: does it hang?")
            elif not self._refused:
                self._failed(
                    "closed the connection before accepting it: does it expect TLS or a client "
                    "certificate (mqtt.tls), or is that another service's port?"
                )
            self._refused = False
            return
        lasted_s = at_s - self._connected_at_s
        self._connected_at_s = None
        if lasted_s >= _SHORT_S:
            self._short_in_a_row = 0
        else:
            self._short_in_a_row += 1
        ending = _ENDS.get(reason, reason)
        if self._short_in_a_row < _CLASH_AFTER:
            log.warning("lost the connection to the broker at %s: %s", self._broker, ending)
        elif self._short_in_a_row == _CLASH_AFTER:
            log.warning(
                "the broker at %s has ended %d connections in a row within %d s each: another "
                "client uses the client id %r (mqtt.client_id), or it rejects what is published; "
                "trying on without a line for each",
                self._broker,
                _CLASH_AFTER,
                _SHORT_S,
                self._client_id,
            )

    def _failed(self, sentence: str) -> None:
        if sentence != self._last_failure:
            log.warning("the broker at %s %s; trying again", self._broker, sentence)
            self._last_failure = sentence


def _in_words(error: BaseException | None) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its TLS certificate was not accepted: {error.verify_message} (mqtt.tls.ca_file)"
    if isinstance(error, ssl.SSLError):
        return f"the TLS handshake failed: {getattr(error, 'reason', None) or error} (mqtt.tls)"
    if isinstance(error, socket.gaierror):
        return f"its name cannot be looked up: {error.strerror} (mqtt.host)"
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, ConnectionResetError):
        return "it ended the connection at once; do both sides speak TLS, or neither? (mqtt.tls)"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens on that port"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "no reason given" if error is None else str(error)
