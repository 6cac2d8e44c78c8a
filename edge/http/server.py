"""The HTTP server in a thread of its own."""

import asyncio
import errno
import logging
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from edge.config import ConfigError, HttpSettings, TlsSettings
from edge.http.auth import read_credentials
from edge.http.board import PictureBoard
from edge.http.health import Health
from edge.http.loopback import is_loopback
from edge.metrics import Metrics

if TYPE_CHECKING:
    import uvicorn

_log = logging.getLogger(__name__)

_BACKLOG = 64
_STREAMS_END_S = 0.2


class ListenError(Exception):
    """The server cannot listen: one sentence says where and why."""

    exit_code = 1


class PortTakenError(ListenError):
    """Another program listens on this port."""


class HttpServer:
    """Serves health, metrics, page and pictures from ``start()`` to ``stop()``.

    The methods belong to one thread, the main one. The event loop and all connections belong to the
    thread ``http``; drawing pictures and collecting metrics to ``http-worker``.
    """

    def __init__(
        self,
        settings: HttpSettings,
        health: Health,
        board: PictureBoard,
        metrics: Metrics,
        *,
        dead_viewer_s: float = 10.0,
    ) -> None:
        """``dead_viewer_s``: a connection whose other end takes nothing for so long is cut."""
        self._settings = settings
        self._health = health
        self._board = board
        self._metrics = metrics
        self._dead_viewer_s = dead_viewer_s
        self._port: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()  # set and awaited inside the loop
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="http-worker")
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port listened on; with ``port: 0`` the one that the system gave."""
        if self._port is None:
            raise RuntimeError("the HTTP server was not started")
        return self._port

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the page."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._settings.host, self._settings.host)
        scheme = "http" if self._settings.tls is None else "https"
        return f"{scheme}://{_host_and_port(host, self.port)}/"

    def start(self) -> None:
        """Listen; when this returns, a client can connect.

        Raises ``PortTakenError``, ``ListenError``, and ``ConfigError`` for an unusable certificate.
        """
        # Late: a command that serves nothing does not wait for the server's libraries.
        import uvicorn

        from edge.http.app import create_app
        from edge.http.connections import BoundedProtocol

        credentials = read_credentials(self._settings)
        tls = None if self._settings.tls is None else _tls_context(self._settings.tls)
        listener = _listen(self._settings.host, self._settings.port)
        # Accepted connections inherit it. Without it a viewer that stopped reading, or whose cable
        # was pulled, keeps its connection and its place for hours.
        listener.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * self._dead_viewer_s)
        )
        self._port = listener.getsockname()[1]
        loopback = is_loopback(self._settings.host)
        if not loopback and not credentials.required:
            _log.warning(
                "http: everybody who reaches %s sees the cameras: "
                "set http.token_file, or http.username and http.password_file",
                _host_and_port(self._settings.host, self.port),
            )
        app = create_app(
            self._health,
            self._board,
            self._metrics,
            credentials,
            loopback_names_only=loopback and not credentials.required,
            worker=self._worker,
            stopping=self._stopping,
        )
        config = uvicorn.Config(
            app,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        config.load()
        config.ssl = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._run,
            args=(self._loop, uvicorn.Server(config), listener),
            name="http",
            daemon=True,
        )
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the server's thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self, timeout_s: float = 2.0) -> bool:
        """End the open streams and close all connections; False where that took too long."""
        if self._loop is None or self._thread is None:
            return True
        if self._thread.is_alive() and not self._loop.is_closed():
            try:
                self._loop.call_soon_threadsafe(self._stopping.set)
            except RuntimeError:
                pass  # the loop ended in this very moment
        self._thread.join(timeout_s)
        self._worker.shutdown(wait=False, cancel_futures=True)
        return not self._thread.is_alive()

    def _run(
        self, loop: asyncio.AbstractEventLoop, server: "uvicorn.Server", listener: socket.socket
    ) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(self._serve(server, listener))
        except Exception:
            _log.exception("http: the server failed")
        finally:
            loop.close()

    async def _serve(self, server: "uvicorn.Server", listener: socket.socket) -> None:
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not serving.done():
            # The streams end by themselves now; what is then still open idles, or waits for a
            # client that does not read, for whom uvicorn's own shutdown would wait too.
            deadline_s = time.monotonic() + _STREAMS_END_S
            while server.server_state.connections and time.monotonic() < deadline_s:
                await asyncio.sleep(0.01)
            for connection in list(server.server_state.connections):
                connection.transport.abort()
            server.should_exit = True
        await serving


def _listen(host: str, port: int) -> socket.socket:
    where = _host_and_port(host, port)
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(
            (str(address[0]), port),
            family=family,
            backlog=_BACKLOG,
            # "::" is meant as "everywhere", IPv4 included.
            dualstack_ipv6=address[0] == "::" and socket.has_dualstack_ipv6(),
        )
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTakenError(
                f"http: {where} is taken by another program: free it or set another http.port"
            ) from None
        reason = error.strerror or str(error)
        raise ListenError(f"http: cannot listen on {where}: {reason}") from None


def _tls_context(files: TlsSettings) -> ssl.SSLContext:
    assert files.cert_file is not None  # the configuration asks for both
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # An encrypted key would have OpenSSL ask on the terminal, where nobody sits.
        context.load_cert_chain(files.cert_file, files.key_file, password=lambda: "")
    except (OSError, ValueError) as error:
        what = f"{files.cert_file} and {files.key_file} are no certificate with its unencrypted key"
        raise ConfigError([f"http.tls: {what} ({error})"]) from None
    return context


def _host_and_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
