"""The container's health check, against a real server and a real process."""

import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "docker" / "jetson" / "healthcheck.py"


@pytest.fixture(scope="module")
def healthcheck() -> ModuleType:
    spec = importlib.util.spec_from_file_location("healthcheck", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Daemon:
    """Answers /livez with ``status`` in a thread, and is a process called rfdetr-edge for /proc."""

    def __init__(self, folder: Path) -> None:
        answers = self
        self.status = 200

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status = answers.status if self.path == "/livez" else 404
                body = json.dumps({"reason": "the inference loop has not turned for 21 s"}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/livez"
        self.process = subprocess.Popen(["sleep", "600"])
        self.note = folder / "unhealthy"
        self.proc = folder / "proc"
        # Others have lower numbers: the container's first process, and one that has just ended.
        self.add_process(1, "/sbin/docker-init\0--\0rfdetr-edge\0run\0", started="1")
        (self.proc / "2").mkdir()
        self.started_at("4711")

    def started_at(self, ticks: str) -> None:
        command = "/opt/rfdetr-edge/bin/python3\0/opt/rfdetr-edge/bin/rfdetr-edge\0run\0"
        self.add_process(self.process.pid, command, started=ticks)

    def add_process(self, pid: int, command: str, started: str) -> None:
        folder = self.proc / str(pid)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cmdline").write_text(command)
        fields = ["S", *("0" for _ in range(18)), started, "0"]
        (folder / "stat").write_text(f"{pid} (a ) name) {' '.join(fields)}\n")

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path)
    yield daemon
    daemon.stop()


@pytest.fixture
def check(healthcheck: ModuleType, daemon: Daemon) -> Callable[..., int]:
    def run(now_s: float, *arguments: str) -> int:
        code = healthcheck.main(list(arguments), daemon.url, now_s, daemon.note, daemon.proc)
        assert isinstance(code, int)
        return code

    return run


def test_command_passes_on_what_the_daemon_says(daemon: Daemon):
    command = [sys.executable, "-I", str(SCRIPT)]
    environ = {"RFDETR_EDGE_HEALTH_URL": daemon.url, "http_proxy": "http://127.0.0.1:9"}
    alive = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (alive.returncode, alive.stdout, alive.stderr) == (0, "", "")
    daemon.status = 503
    hung = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (hung.returncode, hung.stderr) == (1, "")
    reason = '503 {"reason": "the inference loop has not turned for 21 s"}'
    assert hung.stdout == f"{daemon.url}: {reason}\n"


def test_nobody_listening_is_unhealthy(healthcheck: ModuleType, daemon: Daemon):
    daemon.stop()
    assert "ConnectionRefusedError" in healthcheck.why_not_alive(daemon.url)


def test_alone_it_never_kills(check: Callable[..., int], daemon: Daemon):
    daemon.status = 503
    assert [check(now_s) for now_s in (0.0, 1000.0)] == [1, 1]
    assert daemon.process.poll() is None


def test_daemon_without_life_for_long_enough_is_killed(check: Callable[..., int], daemon: Daemon):
    daemon.status = 503
    assert [check(now_s, "--kill-after", "120") for now_s in (10.0, 25.0, 129.0)] == [1, 1, 1]
    assert daemon.process.poll() is None
    assert check(130.0, "--kill-after", "120") == 1
    assert daemon.process.wait(10) == -9


def test_a_sign_of_life_starts_the_time_anew(check: Callable[..., int], daemon: Daemon):
    daemon.status = 503
    check(0.0, "--kill-after", "120")
    daemon.status = 200
    assert check(60.0, "--kill-after", "120") == 0
    daemon.status = 503
    assert check(121.0, "--kill-after", "120") == 1
    assert check(240.0, "--kill-after", "120") == 1
    assert daemon.process.poll() is None


def test_next_daemon_does_not_pay_for_the_last_one(check: Callable[..., int], daemon: Daemon):
    daemon.status = 503
    check(0.0, "--kill-after", "120")
    daemon.started_at("9000")  # a restart, which may well get the same number
    assert check(1000.0, "--kill-after", "120") == 1
    assert daemon.process.poll() is None


def test_broken_note_is_written_anew(check: Callable[..., int], daemon: Daemon):
    daemon.status = 503
    daemon.note.write_text("{")
    assert check(1000.0, "--kill-after", "120") == 1
    assert json.loads(daemon.note.read_text())["since_s"] == 1000.0
