"""A side of a comparison as a process of its own, spoken to in lines of JSON."""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple

EXIT_S = 10.0


class WorkerDied(Exception):  # noqa: N818 - says what has happened
    """The process has ended or does not speak as it should; the message is one sentence."""


class Ready(NamedTuple):
    """What a side tells of itself once it is loaded and warm."""

    versions: dict[str, str]
    load_s: float
    rss_mib: float


class Turns(NamedTuple):
    """Seconds a turn in each stage, the number of objects found, and the process's memory."""

    preprocess: list[float]
    forward: list[float]
    postprocess: list[float]
    whole: list[float]
    found: int
    rss_mib: float


class Worker:
    """Runs ``command`` with ``settings`` as a last argument, until ``close``.

    It waits for commands, blocked in a read, except during ``run``.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        settings: Mapping[str, object],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.name = name
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        self._process = subprocess.Popen(
            [*command, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            encoding="utf-8",
            env=environ,
        )

    def ready(self) -> Ready:
        """Wait until the side is loaded and warm. Raises ``WorkerDied``."""
        return Ready(**self._answer()["ready"])

    def run(self, what: str, turns: int) -> Turns:
        """``what`` is frames or objects. Raises ``WorkerDied``."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"run": what, "turns": turns}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None
        return Turns(**self._answer())

    def close(self) -> None:
        """Let it exit; one that does not is killed."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:  # a command that it did not live to read
                pass
        try:
            self._process.wait(EXIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stderr.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._process.kill()
        self.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            raise self._died() from None
        return answer

    def _died(self) -> WorkerDied:
        try:
            code = self._process.wait(EXIT_S)
        except subprocess.TimeoutExpired:
            return WorkerDied(f"{self.name} answers with something else than JSON")
        self._stderr.seek(0)
        said = self._stderr.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(said) if line.strip()), "nothing on stderr")
        how = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
        return WorkerDied(f"{self.name} {how}: {last}")
