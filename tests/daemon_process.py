"""The daemon as users start it: a process of its own, its log, its pages."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from edge.model_source import DEMO_CHECKPOINT

DEADLINE_S = 60.0  # for what takes a few seconds on an idle machine


def write_config(folder: Path, mqtt_port: int, cameras: list[dict[str, Any]], **other: Any) -> Path:
    """A configuration on the demo checkpoint; ``other`` overrides or adds sections."""
    config = {
        "node": "test",
        "state_dir": str(folder / "state"),
        "cache_dir": str(folder / "cache"),
        "model": {"path": str(DEMO_CHECKPOINT), "confidence": 0.45, "device": "cpu"},
        "cameras": cameras,
        "mqtt": {"host": "127.0.0.1", "port": mqtt_port},
        "http": {"host": "127.0.0.1", "port": 0},
        **other,
    }
    file = folder / "edge.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


class DaemonProcess:
    """One running command; every line of its stderr is kept.

    ``program`` is what Python runs, for a test that starts the daemon in a way of its own.
    """

    def __init__(
        self,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        program: Sequence[str] = ("-m", "edge"),
    ) -> None:
        self.lines: list[str] = []
        self._new_lines: queue.Queue[str | None] = queue.Queue()
        self.process = subprocess.Popen(
            [sys.executable, *program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "2", **(environ or {})},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._new_lines.put(line.rstrip("\n"))
        self._new_lines.put(None)

    def wait_for_line(self, part: str, deadline_s: float = DEADLINE_S) -> str:
        """The first line of the log with ``part`` in it, from where the last wait ended."""
        end = time.monotonic() + deadline_s
        while True:
            try:
                line = self._new_lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                raise AssertionError(f"no {part!r} in the log:\n" + "\n".join(self.lines))
            self.lines.append(line)
            if part in line:
                return line

    def page(self) -> str:
        """The page's address, from the log."""
        return self.wait_for_line("page and metrics at").rsplit(" ", 1)[1]

    def wait(self, deadline_s: float = DEADLINE_S) -> int:
        """The exit code; the rest of the log is in ``lines`` afterwards."""
        code = self.process.wait(deadline_s)
        self._reader.join(5)
        while not self._new_lines.empty():
            line = self._new_lines.get()
            if line is not None:
                self.lines.append(line)
        return code

    def stop(self, how: signal.Signals = signal.SIGTERM, deadline_s: float = 12.0) -> int:
        self.process.send_signal(how)
        return self.wait(deadline_s)

    def stdout(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.read()


@contextmanager
def running(
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    program: Sequence[str] = ("-m", "edge"),
) -> Iterator[DaemonProcess]:
    """Starts the command; kills it at the end where it still runs."""
    daemon = DaemonProcess(*arguments, environ=environ, program=program)
    try:
        yield daemon
    finally:
        if daemon.process.poll() is None:
            daemon.process.kill()
        daemon.wait()
        for pipe in (daemon.process.stdout, daemon.process.stderr):
            if pipe is not None:
                pipe.close()


def get(url: str) -> tuple[int, bytes]:
    """Status and body of a GET."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def get_json(url: str) -> tuple[int, Any]:
    status, body = get(url)
    return status, json.loads(body)
