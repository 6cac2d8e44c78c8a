import logging
import signal
import socket
import subprocess
import sys
import threading

import httpx
import pytest
from serving import Daemon, Serve

from edge.config import HttpSettings
from edge.http.connections import MAX_CONNECTIONS
from edge.http.server import HttpServer, ListenError, PortTakenError


def test_a_client_can_connect_when_start_returns(serve: Serve) -> None:
    server = serve()
    with socket.create_connection(("127.0.0.1", server.port), 10):
        pass


def test_a_taken_port_is_one_sentence_with_the_address(serve: Serve) -> None:
    port = serve().port
    with pytest.raises(PortTakenError, match=f"^http: 127.0.0.1:{port} is taken"):
        serve(port=port)


def test_an_address_of_another_machine_is_one_sentence(serve: Serve) -> None:
    with pytest.raises(ListenError, match=r"^http: cannot listen on 192\.0\.2\.1:0: "):
        serve(host="192.0.2.1")
    with pytest.raises(ListenError, match=r"^http: cannot listen on \[2001:db8::1\]:0: "):
        serve(host="2001:db8::1")


def test_ipv6_loopback(serve: Serve) -> None:
    server = serve(host="::1")
    assert server.url == f"http://[::1]:{server.port}/"
    assert httpx.get(server.url + "livez", trust_env=False).status_code == 200


def test_all_addresses_means_ipv4_too(serve: Serve) -> None:
    server = serve(host="::")
    url = f"http://127.0.0.1:{server.port}/livez"
    assert httpx.get(url, trust_env=False).status_code == 200


def test_an_open_server_without_credentials_warns(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(host="0.0.0.0")
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"http: everybody who reaches 0.0.0.0:{server.port} sees the cameras: "
        "set http.token_file, or http.username and http.password_file"
    ]


def test_requests_are_not_logged(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    server = serve()
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        client.get("/livez")
        client.get("/nothing")
    server.stop(5)
    ours = [r.getMessage() for r in caplog.records if r.name.startswith(("edge", "uvicorn"))]
    assert ours == []


def test_the_port_is_free_after_stop(serve: Serve) -> None:
    first = serve()
    assert first.stop(5)
    second = serve(port=first.port)
    assert httpx.get(second.url + "livez", trust_env=False).status_code == 200


def test_stop_is_for_any_moment(daemon: Daemon, serve: Serve) -> None:
    never_started = HttpServer(HttpSettings(), daemon, daemon.board, daemon.metrics)
    assert never_started.stop()
    server = serve()
    assert server.stop(5)
    assert server.stop(5)
    assert not server.is_alive()


def test_signals_stay_the_daemons(serve: Serve) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    server = serve()
    httpx.get(server.url + "livez", trust_env=False)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_health_answers_while_a_picture_is_drawn(serve: Serve, daemon: Daemon) -> None:
    server = serve()
    daemon.post("dock", 1)
    # What drawing takes, for as long as the test likes.
    with daemon.board._drawing, httpx.Client(base_url=server.url, trust_env=False) as client:
        waiting = threading.Thread(
            target=httpx.get,
            args=(server.url + "cameras/dock/snapshot.jpg",),
            kwargs={"trust_env": False, "timeout": 30},
        )
        waiting.start()
        for _ in range(20):
            assert client.get("/livez").status_code == 200
    waiting.join(30)
    assert not waiting.is_alive()


def test_importing_the_server_does_not_import_its_libraries() -> None:
    code = (
        "import sys, edge.http.server, edge.http.health, edge.http.board;"
        "late = {'starlette', 'uvicorn', 'cv2', 'torch'} & set(sys.modules);"
        "sys.exit(f'imported: {late}' if late else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_silent_connections_do_not_take_every_place(serve: Serve) -> None:
    server = serve()
    idle = [socket.create_connection(("127.0.0.1", server.port), 10) for _ in range(200)]
    try:
        assert httpx.get(server.url + "livez", trust_env=False).status_code == 200
        # The surplus is closed by the server: reading sees the end or a reset, not a timeout.
        ended = 0
        for connection in idle[: 200 - MAX_CONNECTIONS]:  # the oldest had to go
            connection.settimeout(10)
            try:
                ended += connection.recv(1) == b""
            except ConnectionResetError:
                ended += 1
        assert ended == 200 - MAX_CONNECTIONS
    finally:
        for connection in idle:
            connection.close()


def test_a_connection_that_asks_for_nothing_is_closed(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.http.connections.FIRST_REQUEST_S", 0.1)
    server = serve()
    with socket.create_connection(("127.0.0.1", server.port), 10) as silent:
        silent.settimeout(10)
        silent.sendall(b"GET /livez HT")  # and never the rest
        try:
            assert silent.recv(1) == b""
        except ConnectionResetError:
            pass


def test_idle_keep_alive_connections_give_way_too(serve: Serve) -> None:
    server = serve()
    idle = [
        socket.create_connection(("127.0.0.1", server.port), 10) for _ in range(MAX_CONNECTIONS)
    ]
    try:
        for connection in idle:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            connection.settimeout(10)
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        assert httpx.get(server.url + "livez", trust_env=False).status_code == 200
    finally:
        for connection in idle:
            connection.close()
