"""An image of buildah's, run by crun as its own settings say: user, environment, entrypoint.

Stricter than most who run it: the root is read-only, there is no capability and no way to new ones,
and the network is a loopback of its own.
"""

import json
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

DEADLINE_S = 120.0  # two slow cores, shared
# crun refuses to start where version 1 and 2 of cgroups are mixed, though it is to use neither: it
# is shown version 2 alone, in a mount namespace of its own.
ONE_CGROUP_TREE = 'mount -t cgroup2 none /sys/fs/cgroup && exec "$@"'
CRUN = [
    "unshare",
    "--mount",
    "sh",
    "-c",
    ONE_CGROUP_TREE,
    "sh",
    "crun",
    "--cgroup-manager=disabled",
]


class Image:
    """A built image: its settings, and its files below ``root``."""

    def __init__(self, buildah: list[str], name: str) -> None:
        self._buildah = buildah
        inspected = json.loads(_output([*buildah, "inspect", "--type", "image", name]))
        self.settings: dict[str, Any] = inspected["Docker"]["config"]
        self._container = _output([*buildah, "from", name])
        self.root = Path(_output([*buildah, "mount", self._container]))

    def remove(self) -> None:
        """Ends the mount; the image itself stays."""
        _output([*self._buildah, "rm", self._container])

    def user(self) -> dict[str, Any]:
        """The user as Docker finds it: a number alone gets the groups of its name."""
        for line in (self.root / "etc/passwd").read_text().splitlines():
            name, _, uid, gid, *_ = line.split(":")
            if self.settings["User"] in (name, uid):
                groups = [row.split(":") for row in (self.root / "etc/group").read_text().split()]
                more = [int(row[2]) for row in groups if name in row[3].split(",")]
                return {"uid": int(uid), "gid": int(gid), "additionalGids": more}
        raise AssertionError(f"no user {self.settings['User']!r} in the image")


class OciContainer:
    """``with OciContainer(image, folder, ["demo"])``: running inside the block, gone after it.

    ``arguments`` follow the image's entrypoint; ``folder`` is empty, and the container's own.
    """

    def __init__(
        self, image: Image, folder: Path, arguments: list[str], entrypoint: list[str] | None = None
    ) -> None:
        self._name = f"rfdetr-edge-{folder.name}"
        self._crun = [*CRUN, "--root", str(folder / "crun")]
        self._folder = folder
        self._process_settings = {
            "user": image.user(),
            "args": [*(entrypoint or image.settings["Entrypoint"]), *arguments],
            "env": image.settings["Env"],
            "cwd": image.settings["WorkingDir"],
            "capabilities": {},
            "noNewPrivileges": True,
        }
        mounts = [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
        ]
        for number, volume in enumerate(sorted(image.settings["Volumes"])):
            source = folder / f"volume-{number}"
            source.mkdir()
            _own(source, image.root / volume.lstrip("/"))
            options = ["rbind", "rw", "nosuid", "nodev"]
            mounts.append({"destination": volume, "source": str(source), "options": options})
        kinds = ["pid", "ipc", "uts", "mount", "network"]
        settings = {
            "ociVersion": "1.0.2",
            "hostname": "box",
            "root": {"path": str(image.root), "readonly": True},
            "process": self._process_settings,
            "mounts": mounts,
            "linux": {"namespaces": [{"type": kind} for kind in kinds]},
        }
        (folder / "config.json").write_text(json.dumps(settings))
        self.log = folder / "log"

    def __enter__(self) -> "OciContainer":
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [*self._crun, "run", "--bundle", str(self._folder), self._name],
                stdout=output,
                stderr=output,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self.signal("KILL")
        self._process.wait(DEADLINE_S)
        if error is not None:
            print(self.log.read_text(errors="replace"))

    def run(self, command: list[str]) -> "subprocess.CompletedProcess[str]":
        """A second command inside, as the same user: what `docker exec` and HEALTHCHECK do."""
        process = self._folder / "exec.json"
        process.write_text(json.dumps({**self._process_settings, "args": command}))
        return subprocess.run(
            [*self._crun, "exec", "--process", str(process), self._name],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def network(self) -> list[str]:
        """Put before a command of this machine, runs it in the container's network."""
        pid = json.loads(_output([*self._crun, "state", self._name]))["pid"]
        return ["nsenter", "--target", str(pid), "--net"]

    def wait_until_healthy(self, check: list[str]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if self.run(check).returncode == 0:
                return
            time.sleep(0.5)  # nothing to wait on from outside, as for Docker itself
        raise AssertionError(f"never healthy:\n{self.log.read_text(errors='replace')}")

    def signal(self, name: str) -> None:
        _output([*self._crun, "kill", self._name, name])

    def wait(self) -> int:
        """Its exit code."""
        return self._process.wait(DEADLINE_S)


def _own(folder: Path, like: Path) -> None:
    """Docker gives a new volume the owner and the mode of the folder that it covers."""
    status = like.stat()
    folder.chmod(status.st_mode & 0o7777)
    subprocess.run(["chown", f"{status.st_uid}:{status.st_gid}", folder], check=True)


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
