"""Debian's mosquitto, spoken to by its own clients."""

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

HOST = "127.0.0.1"
DEADLINE_S = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Broker:
    """Runs in a ``with`` block and remembers nothing."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"user root\nlistener {self.port} {HOST}\nallow_anonymous true\n")

    def __enter__(self) -> "Broker":
        self._process = subprocess.Popen(
            [program("mosquitto"), "-c", self._config], stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex((HOST, self.port)) == 0:
                    return self
            time.sleep(0.02)
        raise TimeoutError("mosquitto does not listen")

    def __exit__(self, *exc_info: object) -> None:
        self._process.terminate()
        self._process.wait(DEADLINE_S)

    def publish(self, topic: str, payload: bytes | str, *, retain: bool = True) -> None:
        """Returns when the broker has acknowledged it."""
        options = ["-r"] if retain else []
        self._client("mosquitto_pub", topic, "-s" if payload else "-n", *options, payload=payload)

    def retained(self, topic: str) -> bytes:
        """What the topic holds (b"": nothing)."""
        return self._client("mosquitto_sub", topic, "-C", "1", "-W", "1", "-N", fail=False)

    @contextmanager
    def listen(self, topic: str) -> Iterator["Listener"]:
        """A subscriber from the start of the block on."""
        by_lines = ["stdbuf", "-oL"]  # else a pipe is not told of the subscription at once
        command = [*by_lines, program("mosquitto_sub"), "-p", str(self.port), "-t", topic]
        options = ["-q", "1", "-C", "1", "-W", "20", "-d", "-F", "heard %q %r %p"]
        with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("Subscribed"):
                    break
            yield Listener(process.stdout)

    def _client(
        self, name: str, topic: str, *options: str, payload: bytes | str = b"", fail: bool = True
    ) -> bytes:
        body = payload.encode() if isinstance(payload, str) else payload
        command = [program(name), "-h", HOST, "-p", str(self.port), "-t", topic, "-q", "1"]
        done = subprocess.run([*command, *options], input=body, capture_output=True, check=False)
        if fail and done.returncode:
            raise RuntimeError(f"{name}: {done.stderr.decode()}")
        return done.stdout


class Listener:
    """What one subscriber hears."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = lines

    async def first(self) -> list[str]:
        """QoS, retain flag (0 or 1) and payload of the first message; empty in vain."""
        return await asyncio.to_thread(self._first)

    def _first(self) -> list[str]:
        heard = [line.split()[1:] for line in self._lines if line.startswith("heard ")]
        return heard[0] if heard else []


def program(name: str) -> str:
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if path is None:
        raise FileNotFoundError(f"{name} is not installed (Debian: mosquitto, mosquitto-clients)")
    return path
