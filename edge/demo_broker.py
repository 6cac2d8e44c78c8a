"""A broker inside the process, for ``rfdetr-edge demo``: nothing to install, nothing kept."""

import asyncio
import contextlib
import logging
import threading

_HOST = "127.0.0.1"
_LISTENER = "default"  # amqtt insists on one of this name
_PORTS_TRIED = 100
_START_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = 2.0


class DemoBrokerError(Exception):
    """The demo's broker cannot run; one sentence."""

    exit_code = 1


class DemoBroker:
    """An amqtt broker on the loopback address, open to anybody there, in a thread of its own.

    Retained messages and last wills work; nothing outlives ``stop``. For a demo only: it knows no
    passwords and no limits. ``start`` and ``stop`` are for one thread, and each may be called once.
    The listening socket and the connections are ours, the protocol on them is amqtt's: its own
    shutdown waits for ever on a client that stays.
    """

    def __init__(self, port: int = 1883) -> None:
        self._first_port = port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked_to_stop = asyncio.Event()
        self._started = threading.Event()
        self._port = 0
        self._failure: Exception | None = None

    def start(self) -> int:
        """Listen on the wanted port, else on the next free one, and return it.

        Raises ``DemoBrokerError`` where amqtt is not installed or nothing can be listened on.
        """
        try:
            import amqtt.broker  # noqa: F401  (late: only the demo pays for it)
        except ImportError as error:
            raise DemoBrokerError(
                "the demo's MQTT broker is not installed: install rfdetr-edge with its demo extra"
                " (in a clone: pip install '.[demo]')"
            ) from error
        self._thread = threading.Thread(target=self._run, name="demo-broker", daemon=True)
        self._thread.start()
        if not self._started.wait(_START_TIMEOUT_S):
            raise DemoBrokerError(f"the demo's MQTT broker did not start in {_START_TIMEOUT_S:g} s")
        if self._failure is not None:
            raise DemoBrokerError(f"the demo's MQTT broker did not start: {self._failure}")
        return self._port

    def stop(self) -> None:
        """Disconnect everybody and end the thread; harmless where nothing runs."""
        if self._thread is None:
            return
        if self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(self._asked_to_stop.set)
            except RuntimeError:
                pass  # the loop has ended by itself
        self._thread.join(3 * _STOP_TIMEOUT_S)
        self._thread = None

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            if self._started.is_set():
                raise
            self._failure = error
            self._started.set()

    async def _serve(self) -> None:
        from amqtt.broker import Broker

        # It reports each client, and each one that leaves without a farewell, as an incident.
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._loop = asyncio.get_running_loop()
        broker = Broker(
            {
                "listeners": {_LISTENER: {"type": "external"}},
                "plugins": {
                    "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
                },
            }
        )
        connections: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections[writer] = asyncio.current_task()
            # amqtt cancels the talk with a client that leaves: nobody is to hear of it.
            with contextlib.suppress(asyncio.CancelledError):
                try:
                    await broker.stream_connected(reader, writer, _LISTENER)
                finally:
                    del connections[writer]
                    writer.close()
                    with contextlib.suppress(OSError):
                        await writer.wait_closed()

        await broker.start()
        for port in range(self._first_port, self._first_port + _PORTS_TRIED):
            try:
                server = await asyncio.start_server(talk, _HOST, port)
                break
            except OSError as error:
                taken = error
        else:
            raise OSError(f"no free port from {self._first_port} on ({taken.strerror})")
        self._port = port
        self._started.set()

        await self._asked_to_stop.wait()
        server.close()
        talks = [task for task in connections.values() if task is not None]
        for writer in connections:
            writer.close()  # what was sent still leaves; the talk ends as if the client had gone
        if talks:
            await asyncio.wait(talks, timeout=_STOP_TIMEOUT_S)
        try:
            await asyncio.wait_for(broker.shutdown(), _STOP_TIMEOUT_S)
        except asyncio.TimeoutError:
            pass  # what is left ends with the loop
