import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
from serving import Daemon, Serve

from edge.http.server import HttpServer

DEADLINE_S = 20.0
LARGE: dict[str, Any] = {"size": (1080, 1920), "noise": 50}  # fills socket buffers in a few frames


class Viewer:
    """Reads the parts of one stream over a socket of its own."""

    def __init__(self, server: HttpServer, camera: str = "dock") -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), DEADLINE_S)
        request = f"GET /cameras/{camera}/stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n"
        self.socket.sendall(request.encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = self._header_block()
        self.rest = b""

    def _header_block(self) -> dict[str, str]:
        lines = iter(self.file.readline, b"\r\n")
        return dict(line.decode().lower().rstrip().split(": ", 1) for line in lines)

    def _chunk(self) -> bytes:
        size = int(self.file.readline(), 16)
        data = self.file.read(size)
        self.file.readline()
        return data

    def part(self) -> tuple[int, bytes] | None:
        """The next part's frame id and JPEG once its closing boundary came; None at the end."""
        boundary = b"--" + self.headers["content-type"].partition("boundary=")[2].encode() + b"\r\n"
        while self.rest.count(boundary) < 2:
            chunk = self._chunk()
            if not chunk:
                return None
            self.rest += chunk
        _, part, rest = self.rest.split(boundary, 2)
        self.rest = boundary + rest
        head, _, body = part.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        assert fields["Content-Type"] == "image/jpeg"
        jpeg = body[: int(fields["Content-Length"])]
        assert body == jpeg + b"\r\n"
        assert jpeg.startswith(b"\xff\xd8")
        assert jpeg.endswith(b"\xff\xd9")
        return int(fields["X-Frame-Id"]), jpeg

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@contextmanager
def viewing(server: HttpServer, camera: str = "dock") -> Iterator[Viewer]:
    viewer = Viewer(server, camera)
    try:
        yield viewer
    finally:
        viewer.close()


@contextmanager
def sixteen_viewers(server: HttpServer) -> Iterator[list[Viewer]]:
    with ExitStack() as stack:
        viewers = [stack.enter_context(viewing(server)) for _ in range(16)]
        for viewer in viewers:
            assert viewer.part() is not None
        yield viewers


def wait_for_a_free_place(server: HttpServer) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        with viewing(server) as viewer:
            if viewer.status == 200:
                return
        assert time.monotonic() < deadline, "the place was not freed"


def test_each_new_frame_is_a_part(serve: Serve, daemon: Daemon) -> None:
    server = serve()
    daemon.post("dock", 5)
    with viewing(server) as viewer:
        assert viewer.headers["content-type"].startswith("multipart/x-mixed-replace; boundary=")
        assert viewer.headers["cache-control"] == "no-store"
        first = viewer.part()
        daemon.post("dock", 6)
        second = viewer.part()
    assert first is not None
    assert second is not None
    assert (first[0], second[0]) == (5, 6)
    assert first[1] != second[1]


def test_a_viewer_gets_at_most_ten_pictures_a_second(serve: Serve, daemon: Daemon) -> None:
    server = serve()
    daemon.post("dock", 0)
    done = threading.Event()

    def post_without_pause() -> None:
        frame_id = 0
        while not done.wait(0.005):
            frame_id += 1
            daemon.post("dock", frame_id)

    camera = threading.Thread(target=post_without_pause)
    camera.start()
    try:
        with viewing(server) as viewer:
            viewer.part()
            started = time.monotonic()
            shown = [part[0] for part in (viewer.part() for _ in range(5)) if part is not None]
            took_s = time.monotonic() - started
    finally:
        done.set()
        camera.join()
    assert took_s > 0.4
    assert shown == sorted(set(shown))
    assert len(shown) == 5


def test_the_seventeenth_viewer_is_refused_until_one_goes(serve: Serve, daemon: Daemon) -> None:
    server = serve()
    daemon.post("dock", 1)
    with sixteen_viewers(server) as viewers:
        with viewing(server) as one_more:
            assert one_more.status == 503
        viewers[3].close()
        wait_for_a_free_place(server)


def test_a_viewer_that_does_not_read_holds_nobody(serve: Serve, daemon: Daemon) -> None:
    server = serve()
    daemon.post("dock", 0, **LARGE)
    with viewing(server), viewing(server) as reading:
        for frame_id in range(1, 10):
            part = reading.part()
            assert part is not None
            assert part[0] == frame_id - 1
            daemon.post("dock", frame_id, **LARGE)


def test_a_viewer_that_does_not_read_loses_its_place(serve: Serve, daemon: Daemon) -> None:
    server = serve(dead_viewer_s=1.0)
    done = threading.Event()
    daemon.post("dock", 0)

    def post() -> None:
        frame_id = 0
        while not done.wait(0.05):
            frame_id += 1
            daemon.post("dock", frame_id, **LARGE)

    with ExitStack() as stack:
        for _ in range(16):
            viewer = stack.enter_context(viewing(server))
            assert viewer.status == 200
        camera = threading.Thread(target=post)
        camera.start()
        try:
            wait_for_a_free_place(server)
        finally:
            done.set()
            camera.join()


def test_a_stream_ends_when_its_camera_is_switched_off(serve: Serve, daemon: Daemon) -> None:
    server = serve()
    daemon.post("dock", 1)
    with viewing(server) as viewer:
        assert viewer.part() is not None
        daemon.board.clear("dock")
        assert viewer.part() is None


@pytest.mark.parametrize("size", [(360, 640), (1080, 1920)])
def test_stop_ends_open_streams(serve: Serve, daemon: Daemon, size: tuple[int, int]) -> None:
    server = serve()
    daemon.post("dock", 1, size=size)
    with viewing(server) as viewer:
        assert viewer.part() is not None
        started = time.monotonic()
        assert server.stop(5)
        assert time.monotonic() - started < 2
        assert viewer.part() is None
    assert not server.is_alive()


def test_stop_does_not_wait_for_a_viewer_that_does_not_read(
    serve: Serve, daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve()
    daemon.post("dock", 0, **LARGE)
    with ExitStack() as stack:
        stuck = [stack.enter_context(viewing(server)) for _ in range(2)]
        with viewing(server) as reading:
            for frame_id in range(1, 12):
                reading.part()
                daemon.post("dock", frame_id, **LARGE)
        started = time.monotonic()
        assert server.stop(5)
        assert time.monotonic() - started < 2
        assert len(stuck) == 2
    assert caplog.records == []


def test_a_viewer_that_goes_leaves_nothing_in_the_log(
    serve: Serve, daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve()
    daemon.post("dock", 0)
    with sixteen_viewers(server):
        pass
    wait_for_a_free_place(server)
    assert httpx.get(server.url + "livez", trust_env=False).status_code == 200
    assert [record for record in caplog.records if record.levelname != "INFO"] == []
