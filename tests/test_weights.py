"""Downloading weights, against a real HTTP server on the loopback that misbehaves on request."""

import contextlib
import fcntl
import hashlib
import os
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from edge.weights import HOSTED_WEIGHTS, OFFICIAL_URL, HostedWeights, WeightsError, fetch_weights

BODY = bytes(range(256)) * 4096  # 1 MiB: several chunks
HOSTED = {"tiny": HostedWeights("tiny.pt", "tiny-ft.pth", hashlib.md5(BODY).hexdigest())}
DEADLINE_S = 30
Respond = Callable[[BaseHTTPRequestHandler], None]


def respond_whole(request: BaseHTTPRequestHandler, body: bytes = BODY) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


class Mirror:
    """A server whose answer is a function, which a test may replace."""

    def __init__(self) -> None:
        self.respond: Respond = respond_whole
        self.requests: list[tuple[str, str | None]] = []  # path, Authorization
        self.let_go = threading.Event()  # releases answers that hang

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler) -> None:  # noqa: N805
                self.requests.append((handler.path, handler.headers["Authorization"]))
                self.respond(handler)

            def log_message(handler, *_: object) -> None:  # noqa: N805
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=[0.01])
        self.thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.let_go.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    mirror = Mirror()
    yield mirror
    mirror.close()


def fetch(mirror: Mirror, cache: Path, timeout_s: float = DEADLINE_S) -> Path:
    environ = {"RFDETR_EDGE_WEIGHTS_URL": f"http://{mirror.host}/rfdetr"}
    return fetch_weights("tiny", cache, environ, hosted=HOSTED, timeout_s=(timeout_s, timeout_s))


def failure(mirror: Mirror, cache: Path, timeout_s: float = DEADLINE_S) -> str:
    """The message of a failed fetch, which must be one line and leave no file but the lock."""
    with pytest.raises(WeightsError) as caught:
        fetch(mirror, cache, timeout_s)
    assert [path.name for path in (cache / "weights").iterdir()] == [".lock"]
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("cannot get the weights of tiny: ")
    by_hand = f"{OFFICIAL_URL}tiny-ft.pth elsewhere (MD5 {HOSTED['tiny'].md5}) and put it at"
    assert f"{by_hand} {cache}/weights/tiny.pt" in message
    return message


def in_another_process(mirror: Mirror, cache: Path, setup: str = "") -> list[str]:
    """The command of a process that fetches, and prints the path or the error's message."""
    script = f"""
from pathlib import Path
from edge.weights import HostedWeights, WeightsError, fetch_weights
{setup}
hosted = {{"tiny": HostedWeights("tiny.pt", "tiny-ft.pth", {HOSTED["tiny"].md5!r})}}
environ = {{"RFDETR_EDGE_WEIGHTS_URL": "http://{mirror.host}/rfdetr"}}
try:
    print(fetch_weights("tiny", Path({str(cache)!r}), environ, hosted=hosted))
except WeightsError as error:
    print("refused:", error)
"""
    return [sys.executable, "-c", script]


def test_seven_hosted_models_with_a_checksum_each() -> None:
    assert list(HOSTED_WEIGHTS) == [
        f"rfdetr-seg-{size}"
        for size in ("preview", "nano", "small", "medium", "large", "xlarge", "2xlarge")
    ]
    assert len({weights.md5 for weights in HOSTED_WEIGHTS.values()}) == 7
    assert all(re.fullmatch("[0-9a-f]{32}", weights.md5) for weights in HOSTED_WEIGHTS.values())


def test_downloads_once_and_then_uses_the_cache(
    mirror: Mirror, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = fetch(mirror, tmp_path)
    assert path == tmp_path / "weights" / "tiny.pt"
    assert path.read_bytes() == BODY
    assert path.stat().st_mode & 0o777 == 0o644
    assert fetch(mirror, tmp_path) == path
    assert mirror.requests == [("/rfdetr/tiny-ft.pth", None)]
    assert capfd.readouterr() == ("", "")  # no progress bar into a log


def test_read_only_cache_with_the_file_is_enough(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "tiny.pt").write_bytes(BODY)
    fetch(mirror, tmp_path)
    assert [path.name for path in (tmp_path / "weights").iterdir()] == ["tiny.pt"]
    assert mirror.requests == []


def test_damaged_cached_file_is_downloaded_anew(mirror: Mirror, tmp_path: Path) -> None:
    path = fetch(mirror, tmp_path)
    path.write_bytes(BODY[:-1])
    assert fetch(mirror, tmp_path) == path
    assert path.read_bytes() == BODY
    assert len(mirror.requests) == 2


def test_damaged_cached_file_is_never_used_and_never_lost(mirror: Mirror, tmp_path: Path) -> None:
    mirror.respond = lambda request: request.send_error(503)
    (tmp_path / "weights").mkdir()
    path = tmp_path / "weights" / "tiny.pt"
    path.write_bytes(b"somebody's file")
    with pytest.raises(WeightsError, match="where the present file does not have that checksum"):
        fetch(mirror, tmp_path)
    assert path.read_bytes() == b"somebody's file"


def test_missing_object(mirror: Mirror, tmp_path: Path) -> None:
    mirror.respond = lambda request: request.send_error(404)
    assert ": 127.0.0.1 answered 404 Not Found; " in failure(mirror, tmp_path)


def test_wrong_content(mirror: Mirror, tmp_path: Path) -> None:
    mirror.respond = lambda request: respond_whole(request, b"<html>Please log in</html>")
    message = failure(mirror, tmp_path)
    assert ": what 127.0.0.1 sent does not have the right checksum; " in message


def test_truncated_body(mirror: Mirror, tmp_path: Path) -> None:
    def respond(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(BODY)))
        request.end_headers()
        request.wfile.write(BODY[: len(BODY) // 2])

    mirror.respond = respond
    message = failure(mirror, tmp_path)
    assert ": the connection to 127.0.0.1 broke in the middle of the file; " in message


def test_silent_server(mirror: Mirror, tmp_path: Path) -> None:
    mirror.respond = lambda _: mirror.let_go.wait(DEADLINE_S)
    message = failure(mirror, tmp_path, timeout_s=0.2)
    assert ": 127.0.0.1 sent nothing for 0.2 s; " in message


def test_server_that_stops_in_the_middle(mirror: Mirror, tmp_path: Path) -> None:
    def respond(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(BODY)))
        request.end_headers()
        for start in range(5):
            request.wfile.write(BODY[start : start + 1])
        mirror.let_go.wait(DEADLINE_S)

    mirror.respond = respond
    message = failure(mirror, tmp_path, timeout_s=0.2)
    assert ": 127.0.0.1 sent nothing for 0.2 s; " in message


def test_refused_connection(tmp_path: Path) -> None:
    mirror = Mirror()
    mirror.close()
    message = failure(mirror, tmp_path)
    assert ": no connection to 127.0.0.1 (refused); " in message


def test_user_password_and_token_reach_the_mirror_and_nothing_else(
    mirror: Mirror, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mirror.respond = lambda request: request.send_error(403)
    environ = {"RFDETR_EDGE_WEIGHTS_URL": f"http://robot:hush@{mirror.host}/m/?sig=t0ken"}
    with pytest.raises(WeightsError) as caught:
        fetch_weights("tiny", tmp_path, environ, hosted=HOSTED)
    mirror.respond = respond_whole
    fetch_weights("tiny", tmp_path, environ, hosted=HOSTED)
    assert mirror.requests == [("/m/tiny-ft.pth?sig=t0ken", "Basic cm9ib3Q6aHVzaA==")] * 2
    told = str(caught.value) + "".join(capfd.readouterr())
    assert "127.0.0.1 answered 403 Forbidden" in told
    assert not re.search("robot|hush|t0ken", told)


def test_folder_as_mirror(tmp_path: Path) -> None:
    folder = tmp_path / "usb stick"
    folder.mkdir()
    environ = {"RFDETR_EDGE_WEIGHTS_URL": folder.as_uri()}
    with pytest.raises(WeightsError, match=r"No such file or directory \(.*/tiny-ft.pth\); try"):
        fetch_weights("tiny", tmp_path, environ, hosted=HOSTED)
    (folder / "tiny-ft.pth").write_bytes(BODY)
    assert fetch_weights("tiny", tmp_path, environ, hosted=HOSTED).read_bytes() == BODY


@pytest.mark.parametrize("url", ["/srv/mirror", "ftp://mirror/", "http://", "http://[::1/rfdetr"])
def test_mirror_that_is_no_url(url: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="RFDETR_EDGE_WEIGHTS_URL must be a http://"):
        fetch_weights("tiny", tmp_path, {"RFDETR_EDGE_WEIGHTS_URL": url}, hosted=HOSTED)


def test_unknown_id_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"'rfdetr-seg-nan0' .did you mean 'rfdetr-seg-nano'"):
        fetch_weights("rfdetr-seg-nan0", tmp_path, {})


def test_cache_folder_that_cannot_be_made(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match=r"Not a directory \(.*/file/weights.*\)"):
        fetch(mirror, tmp_path / "file")


def test_processes_at_once_download_once(mirror: Mirror, tmp_path: Path) -> None:
    command = in_another_process(mirror, tmp_path)
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(3)
    ]
    for process in processes:
        assert process.communicate(timeout=DEADLINE_S)[0] == f"{tmp_path}/weights/tiny.pt\n"
    assert len(mirror.requests) == 1
    assert (tmp_path / "weights" / "tiny.pt").read_bytes() == BODY


def test_killed_in_the_middle_leaves_nothing_behind_for_long(
    mirror: Mirror, tmp_path: Path
) -> None:
    half_sent = threading.Event()

    def respond_half(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(BODY)))
        request.end_headers()
        request.wfile.write(BODY[: len(BODY) // 2])
        half_sent.set()
        mirror.let_go.wait(DEADLINE_S)

    mirror.respond = respond_half
    with subprocess.Popen(in_another_process(mirror, tmp_path)) as process:
        assert half_sent.wait(DEADLINE_S)
        process.kill()
    assert not (tmp_path / "weights" / "tiny.pt").exists()
    assert len(list((tmp_path / "weights").glob("tmp*"))) == 1
    mirror.respond = respond_whole
    assert fetch(mirror, tmp_path).read_bytes() == BODY
    assert list((tmp_path / "weights").glob("tmp*")) == []


def test_full_disk(mirror: Mirror, tmp_path: Path) -> None:
    """A limit on the size of files stands in for it: the write fails at the same place."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    command = in_another_process(mirror, tmp_path, limit)
    told = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    assert told.stdout.startswith("refused: cannot get the weights of tiny: File too large; try")
    assert told.stderr == ""
    assert [path.name for path in (tmp_path / "weights").iterdir()] == [".lock"]


def test_progress_bar_on_a_terminal(mirror: Mirror, tmp_path: Path) -> None:
    reader, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    command = in_another_process(mirror, tmp_path)
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=terminal, timeout=60, check=True)
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # EIO: all is read and nobody is left to write
        while piece := os.read(reader, 65536):
            shown += piece
    os.close(reader)
    assert b"100%" in shown
    assert b"1.05M/1.05M" in shown


def test_nothing_of_the_network_is_imported_for_a_cached_file(
    mirror: Mirror, tmp_path: Path
) -> None:
    fetch(mirror, tmp_path)
    command = in_another_process(mirror, tmp_path)
    command[-1] += "import sys; print(sorted({'pooch', 'requests', 'tqdm'} & set(sys.modules)))"
    told = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    assert told.stdout == f"{tmp_path}/weights/tiny.pt\n[]\n"
