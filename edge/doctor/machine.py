"""The machine as the checks see it; a test gives a tree of files and canned answers instead."""

import contextlib
import glob
import json
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from edge.clock import Clock
from edge.jetson import is_jetson
from edge.logs import redact

COMMAND_S = 10.0


class ProbeFailed(Exception):  # noqa: N818 - says how the probe ended
    """The process that was to look ended without an answer; half a sentence says how."""


class Ran(NamedTuple):
    """A command that has ended."""

    code: int
    output: str
    errors: str


Run = Callable[[Sequence[str]], Ran | None]
Probe = Callable[[Sequence[str], float], Mapping[str, Any]]


class User(NamedTuple):
    """Who runs this process. ``groups`` are those in force, by number."""

    name: str
    uid: int
    groups: frozenset[int]

    @classmethod
    def current(cls) -> "User":
        uid = os.getuid()
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:  # as in a container that was given a number
            name = str(uid)
        return cls(name, uid, frozenset((os.getgid(), *os.getgroups())))


class Group(NamedTuple):
    gid: int
    members: frozenset[str]


def _may_read_and_write(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK)


def run_command(command: Sequence[str], timeout_s: float = COMMAND_S) -> Ran | None:
    """None where there is no such command, or it does not answer."""
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Ran(ended.returncode, ended.stdout.decode("utf-8", "replace"), _text(ended.stderr))


def run_probe(arguments: Sequence[str], timeout_s: float) -> Mapping[str, Any]:
    """What `edge.doctor.probe` found in a process of its own.

    A library that crashes or hangs takes that process with it and nobody else.
    Raises `ProbeFailed`.
    """
    command = [sys.executable, "-m", "edge.doctor.probe", str(timeout_s), *arguments]
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s + COMMAND_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ProbeFailed(f"gave no answer within {timeout_s:g} s") from None
    with contextlib.suppress(ValueError):
        answer = json.loads(ended.stdout)
        if isinstance(answer, dict):
            return answer
    if ended.returncode == -signal.SIGALRM:
        raise ProbeFailed(f"gave no answer within {timeout_s:g} s")
    if ended.returncode < 0:
        raise ProbeFailed(f"crashed ({signal.Signals(-ended.returncode).name})")
    lines = _text(ended.stderr).strip().splitlines()
    said = f": {redact(lines[-1])}" if lines else ""
    raise ProbeFailed(f"ended with exit code {ended.returncode}{said}")


@dataclass(frozen=True)
class Machine:
    """What the checks ask; everything has its real default."""

    root: Path = Path("/")
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    user: User = field(default_factory=User.current)
    python: tuple[int, int] = sys.version_info[:2]
    run: Run = run_command
    probe: Probe = run_probe
    clock: Clock = field(default_factory=Clock)
    may_use: Callable[[Path], bool] = _may_read_and_write

    @property
    def jetson(self) -> bool:
        return is_jetson(self.root)

    @property
    def container(self) -> bool:
        marks = (".dockerenv", "run/.containerenv")
        return "container" in self.environ or any((self.root / mark).exists() for mark in marks)

    def nodes(self, pattern: str) -> list[Path]:
        """The device nodes that match, e.g. ``dev/dri/renderD*``, in order."""
        found = glob.glob(str(self.root / pattern))
        return sorted(Path(path) for path in found)

    def shown(self, path: Path) -> str:
        """As this machine's own programs call it."""
        return f"/{path.relative_to(self.root)}"

    def groups(self) -> Mapping[str, Group]:
        """What /etc/group says; empty where it cannot be read."""
        try:
            lines = (self.root / "etc/group").read_text(errors="replace").splitlines()
        except OSError:
            return {}
        fields = (line.split(":") for line in lines)
        return {
            f[0]: Group(int(f[2]), frozenset(f[3].split(",")))
            for f in fields
            if len(f) == 4 and f[2].isdigit()
        }

    def group_of(self, path: Path) -> str:
        """The name of the group that owns it; in a container often only a number."""
        gid = path.stat().st_gid
        names = (name for name, group in self.groups().items() if group.gid == gid)
        return next(names, str(gid))


def _text(output: bytes) -> str:
    return output.decode("utf-8", "replace")
