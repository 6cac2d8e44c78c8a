"""A real server on a loopback port."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from serving import CAMERA, Daemon, Serve

from edge.config import HttpSettings
from edge.http.server import HttpServer


@pytest.fixture
def daemon() -> Daemon:
    gate = replace(CAMERA, id="gate", state="offline", reason="no answer", age_s=None)
    return Daemon(views=[CAMERA, gate])


@pytest.fixture
def serve(daemon: Daemon) -> Iterator[Serve]:
    """Start a server with these settings; all are stopped at the end of the test."""
    servers: list[HttpServer] = []

    def start(*, dead_viewer_s: float = 10.0, **settings: object) -> HttpServer:
        server = HttpServer(
            HttpSettings(**({"port": 0} | settings)),
            daemon,
            daemon.board,
            daemon.metrics,
            dead_viewer_s=dead_viewer_s,
        )
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        assert server.stop(5)


@pytest.fixture
def client(serve: Serve) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=serve().url, trust_env=False) as client:
        yield client


@pytest.fixture
def secret(tmp_path: Path) -> Callable[[str, str], Path]:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    return write
