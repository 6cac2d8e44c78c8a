"""A broker inside the process, for ``rfdetr-edge demo``: nothing to install, nothing kept."""

import asyncio
import logging
import socket
import threading

_HOST = "127.0.0.1"
_PORTS_TRIED = 100
_START_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = 3.0


class DemoBrokerError(Exception):
    """The demo's broker cannot run; one sentence."""

    exit_code = 1


class DemoBroker:
    """An amqtt broker on the loopback address, open to anybody there, in a thread of its own.

    Retained messages and last wills work; nothing outlives ``stop``. For a demo only: it knows no
    passwords and no limits. ``start`` and ``stop`` are for one thread, and each may be called once.
    """

    def __init__(self, port: int = 1883) -> None:
        self._first_port = port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked_to_stop: asyncio.Event | None = None
        self._started = threading.Event()
        self._failure: Exception | None = None

    def start(self) -> int:
        """Listen on the wanted port, else on the next free one, and return it.

        Raises ``DemoBrokerError`` where amqtt is not installed or nothing can be listened on.
        """
        try:
            import amqtt.broker  # noqa: F401  (a third of a second: only the demo pays for it)
        except ImportError as error:
            raise DemoBrokerError(
                "the demo's MQTT broker is not installed: pip install 'rfdetr-edge[demo]'"
            ) from error
        port = _next_free_port(self._first_port)
        self._thread = threading.Thread(
            target=self._run, args=(port,), name="demo-broker", daemon=True
        )
        self._thread.start()
        if not self._started.wait(_START_TIMEOUT_S):
            raise DemoBrokerError(f"the demo's MQTT broker did not start in {_START_TIMEOUT_S:g} s")
        if self._failure is not None:
            raise DemoBrokerError(
                f"the demo's MQTT broker did not start on port {port}: {self._failure}"
            )
        return port

    def stop(self) -> None:
        """Disconnect everybody and end the thread; harmless where nothing runs."""
        if self._thread is None:
            return
        if self._loop is not None and self._asked_to_stop is not None and self._thread.is_alive():
            try:
                self._loop.call_soon_threadsafe(self._asked_to_stop.set)
            except RuntimeError:
                pass  # the loop has just ended by itself
        self._thread.join(2 * _STOP_TIMEOUT_S)
        self._thread = None

    def _run(self, port: int) -> None:
        try:
            asyncio.run(self._serve(port))
        except Exception as error:
            if self._started.is_set():
                raise
            self._failure = error
            self._started.set()

    async def _serve(self, port: int) -> None:
        from amqtt.broker import Broker

        # It reports each client, and each client that leaves without a farewell, as an incident.
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._loop = asyncio.get_running_loop()
        self._asked_to_stop = asyncio.Event()
        broker = Broker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"{_HOST}:{port}"}},
                "plugins": {
                    "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
                },
            }
        )
        await broker.start()
        self._started.set()
        await self._asked_to_stop.wait()
        try:
            await asyncio.wait_for(broker.shutdown(), _STOP_TIMEOUT_S)
        except asyncio.TimeoutError:
            pass  # a client that does not read its farewell; leaving the loop closes its socket


def _next_free_port(first: int) -> int:
    last_error: OSError | None = None
    for port in range(first, min(first + _PORTS_TRIED, 65536)):
        with socket.socket() as probe:
            # As a server has it: connections of an earlier run in TIME_WAIT are no hindrance.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port))
            except OSError as error:
                last_error = error
                continue
            return port
    raise DemoBrokerError(f"no free port from {first} on for the demo's MQTT broker: {last_error}")
