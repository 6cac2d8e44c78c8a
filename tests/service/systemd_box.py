"""A throw-away machine with a real systemd as PID 1, and what a person would type on it."""

import contextlib
import os
import queue
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
DEADLINE_S = 60.0  # for anything that takes seconds on an idle machine
NAMESPACES = ["--propagation", "private", "--pid", "--mount", "--uts", "--ipc", "--cgroup", "--net"]


def why_there_is_none() -> str | None:
    """What this machine lacks for a box; None where it has all."""
    if os.geteuid() != 0:
        return "booting systemd in a box needs root"
    if not Path("/lib/systemd/systemd").exists():
        return "no systemd is installed"
    if _cgroup2() is None:
        return "no cgroup2 hierarchy is mounted"
    trial = ["unshare", "--fork", *NAMESPACES, "true"]
    tried = subprocess.run(trial, stderr=subprocess.DEVNULL, check=False)
    return None if tried.returncode == 0 else "namespaces are not allowed here"


def _cgroup2() -> Path | None:
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    return None


class SystemdBox:
    """Booted by ``start``; its root is this machine's, and nothing written to it remains."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="rfdetr-edge-box-"))
        cgroup2 = _cgroup2()
        assert cgroup2 is not None
        self._cgroup = cgroup2 / self._folder.name
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - until the box is stopped
        self._unshare: subprocess.Popen[bytes] | None = None
        self._init = 0

    def start(self) -> None:
        """Boot, and wait until everything has been started; about a second."""
        self._cgroup.mkdir()
        # The cgroup is joined before its namespace is made: the box must see it as its root. And
        # nothing is left of the box where the tests are killed.
        boot = 'echo $$ > "$0" && exec setpriv --pdeathsig KILL unshare --fork --kill-child "$@"'
        box = [
            Path(__file__).parent / "boot_box.sh",
            self._folder,
            REPOSITORY,
            sys.base_prefix,
            sysconfig.get_path("purelib"),
        ]
        self._unshare = subprocess.Popen(
            ["bash", "-c", boot, self._cgroup / "cgroup.procs", *NAMESPACES, *box],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        deadline = time.monotonic() + DEADLINE_S
        while self._unshare.poll() is None and time.monotonic() < deadline:
            children = self._children()
            if children:
                self._init = children[0]
                state = self._nsenter("systemctl", "is-system-running", "--wait")
                if state.stdout.strip() in ("running", "degraded"):
                    return
            time.sleep(0.05)  # nothing to wait on before there is a systemd
        self._log.seek(0)
        raise AssertionError(f"the box does not boot:\n{self._log.read().decode()}")

    def stop(self) -> None:
        """Everything in it is killed with its PID 1."""
        assert self._unshare is not None
        self._unshare.kill()
        self._unshare.wait()
        self._log.close()
        deadline = time.monotonic() + DEADLINE_S
        while self._cgroup.exists() and time.monotonic() < deadline:
            # Deepest first. Busy until the kernel has reaped what was in it.
            for folder, _, _ in os.walk(self._cgroup, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
            time.sleep(0.01)
        shutil.rmtree(self._folder)

    def run(self, *command: str | Path, code: int = 0) -> str:
        """Run as root in the box; its output, stderr included."""
        ended = self._nsenter(*command)
        output = ended.stdout + ended.stderr
        assert ended.returncode == code, f"{command} ended with {ended.returncode}:\n{output}"
        return output.rstrip("\n")

    def start_unit(self, unit: str, code: int = 0) -> None:
        """Returns when the unit is up, or has failed, where that is what ``code`` wants."""
        ended = self._nsenter("systemctl", "start", unit)
        assert ended.returncode == code, f"{unit}: {ended.returncode}\n{self.journal(unit)}"

    def file(self, path: str) -> Path:
        """A file of the box, by its path from here."""
        return Path(f"/proc/{self._init}/root{path}")

    def write(self, path: str, text: str) -> None:
        self.file(path).parent.mkdir(parents=True, exist_ok=True)
        self.file(path).write_text(text)

    def show(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.run("systemctl", "show", "--value", "--property", name, unit)

    def journal(self, unit: str) -> str:
        return self.run("journalctl", "--output", "cat", "--unit", unit)

    @contextlib.contextmanager
    def follow(self, unit: str) -> Iterator["Lines"]:
        """The unit's journal from its beginning, as it comes."""
        follow = ["journalctl", "--follow", "--lines", "all", "--output", "cat", "--unit", unit]
        # Lines kills nsenter, and what nsenter forks is to go with it.
        with Lines([*self._enter(), "setpriv", "--pdeathsig", "KILL", *follow]) as lines:
            yield lines

    def _children(self) -> list[int]:
        """Of unshare, once it has forked: the box's PID 1."""
        assert self._unshare is not None
        pid = self._unshare.pid
        with contextlib.suppress(FileNotFoundError):
            return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return []

    def _enter(self) -> list[str]:
        return ["nsenter", "--target", str(self._init), "--all"]

    def _nsenter(self, *command: str | Path) -> "subprocess.CompletedProcess[str]":
        environ = {
            "PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
            "HOME": "/root",
        }
        return subprocess.run(
            [*self._enter(), *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environ,
            check=False,
            timeout=DEADLINE_S * 3,
        )


class Lines:
    """Lines of a command's output, to be waited for."""

    def __init__(self, command: list[str]) -> None:
        self._seen: list[str] = []
        self._new: queue.Queue[str] = queue.Queue()
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read)

    def __enter__(self) -> "Lines":
        self._reader.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def wait_for(self, part: str) -> str:
        """The first line with ``part`` in it, from where the last wait ended."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                line = self._new.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {part!r} in:\n" + "\n".join(self._seen)) from None
            self._seen.append(line)
            if part in line:
                return line

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._new.put(line.rstrip("\n"))
