"""The systemd service: is it there, will it come back, and how did it end last time?"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edge.doctor.finding import Finding, fail, ok, warn
from edge.doctor.machine import Machine

if TYPE_CHECKING:
    from edge.config import Config

UNIT = "rfdetr-edge.service"
_OLDEST_SYSTEMD = 247  # the first with LoadCredential=
_ASKED = (
    *("LoadState", "UnitFileState", "ActiveState", "SubState", "Result", "NRestarts"),
    *("ExecMainStatus", "WatchdogUSec", "NeedDaemonReload", "User", "SupplementaryGroups"),
    *("PrivateDevices", "ProtectClock", "PrivateTmp"),
)
_ENDED_WITH = {
    1: "a failure (1)",
    2: "wrong usage (2)",
    71: "no device memory left (71)",
    78: "a refusal (78)",
}


def service(machine: Machine) -> Iterator[Finding]:
    if not _has_systemd(machine):
        yield ok("service", "no systemd here, as in a container")
        return
    yield from _systemd(machine)
    unit = unit_properties(machine)
    if unit.get("LoadState") != "loaded":
        yield ok("service", f"{UNIT} is not installed")
        return
    yield from _state(unit)
    yield from _settings(unit)


def unit_properties(machine: Machine) -> Mapping[str, str]:
    """What systemd says of the unit, drop-ins included; empty where it says nothing."""
    ran = machine.run(["systemctl", "show", UNIT, f"--property={','.join(_ASKED)}"])
    if ran is None or ran.code != 0:
        return {}
    pairs = (line.partition("=") for line in ran.output.splitlines())
    return {name: value for name, _, value in pairs}


def daemon_runs(machine: Machine, state_folder: Path) -> bool:
    """Whether the service is active, or a process holds that folder's lock.

    That is only looked up: a daemon that starts while we held the lock would give up for good. The
    kernel's list names the folder by its inode.
    """
    if _has_systemd(machine) and unit_properties(machine).get("ActiveState") == "active":
        return True
    try:
        inode = state_folder.stat().st_ino
        lines = (machine.root / "proc/locks").read_text().splitlines()
    except OSError:
        return False
    return any("FLOCK" in line and f":{inode} " in line for line in lines)


def _has_systemd(machine: Machine) -> bool:
    return (machine.root / "run/systemd/system").is_dir()


def _systemd(machine: Machine) -> Iterator[Finding]:
    ran = machine.run(["systemctl", "--version"])
    version = re.search(r"systemd (\d+)", ran.output) if ran is not None else None
    if version is not None and int(version[1]) < _OLDEST_SYSTEMD:
        yield warn(
            "service",
            f"systemd {version[1]} is older than {_OLDEST_SYSTEMD}: no LoadCredential=",
            "use password files that the service's user may read",
        )


def _state(unit: Mapping[str, str]) -> Iterator[Finding]:
    active, sub = unit.get("ActiveState", ""), unit.get("SubState", "")
    restarts = int(unit.get("NRestarts") or 0)
    if unit.get("NeedDaemonReload") == "yes":
        yield warn(
            "service", "the unit was changed and not read again", "sudo systemctl daemon-reload"
        )
    if active == "failed" or sub == "auto-restart":
        code = int(unit.get("ExecMainStatus") or 0)
        why = _ENDED_WITH.get(code) or unit.get("Result", "")
        yield fail(
            "service",
            f"does not run, it ended with {why}",
            f"journalctl -u {UNIT} -n 50, and docs/troubleshooting.md for what it says",
        )
    elif active == "inactive":
        yield warn("service", "is installed, and does not run", f"sudo systemctl start {UNIT}")
    elif restarts:
        yield warn(
            "service",
            f"{active}, restarted {restarts} times since it was started",
            f"journalctl -u {UNIT} | grep -B 20 'Main process exited'",
        )
    else:
        yield ok("service", f"{active} ({sub})")
    if unit.get("UnitFileState") == "disabled":
        yield warn("service", "does not start at boot", f"sudo systemctl enable {UNIT}")


def _settings(unit: Mapping[str, str]) -> Iterator[Finding]:
    # systemd tells a unit's watchdog only once it was started.
    if unit.get("ActiveState") == "active" and unit.get("WatchdogUSec") in ("0", "infinity"):
        yield warn(
            "service",
            "no watchdog: a daemon that hangs is not restarted",
            "WatchdogSec=30 in the unit, as in systemd/rfdetr-edge.service",
        )
    for name in ("PrivateDevices", "ProtectClock"):
        if unit.get(name) == "yes":
            yield fail(
                "service",
                f"{name}=yes hides the GPU and the cameras from the daemon",
                f"sudo systemctl edit {UNIT}: [Service] {name}=no",
            )


def service_user(machine: Machine) -> Iterator[Finding]:
    """Whoever asks may not be who runs the daemon: what root may open says little about it."""
    unit = unit_properties(machine) if _has_systemd(machine) else {}
    user = unit.get("User", "")
    if unit.get("LoadState") == "loaded" and user and user != machine.user.name:
        yield warn(
            "user",
            f"asked as {machine.user.name}, but the service runs as {user}",
            "ask as the service does: docs/troubleshooting.md has the command",
        )
    if unit.get("LoadState") == "loaded" and machine.jetson:
        have = set(unit.get("SupplementaryGroups", "").split())
        have |= {name for name, group in machine.groups().items() if user in group.members}
        missing = [name for name in ("video", "render") if name not in have]
        if missing and user not in ("", "root"):
            yield fail(
                "user",
                f"the service has no group {' and '.join(missing)}: no GPU, no cameras",
                f"sudo systemctl edit {UNIT}: [Service] SupplementaryGroups=video render",
            )


def argus_in_service(machine: Machine, config: "Config | None") -> Iterator[Finding]:
    """A private /tmp hides the socket through which ``csi:`` cameras are reached."""
    from edge.capture.address import CsiAddress

    if config is None or not any(isinstance(c.source, CsiAddress) for c in config.cameras):
        return
    if not _has_systemd(machine):
        return
    unit = unit_properties(machine)
    if unit.get("PrivateTmp") == "yes":
        yield fail(
            "argus",
            "PrivateTmp=yes hides /tmp/argus_socket from the service",
            "install systemd/drop-ins/csi-camera.conf (docs/install.md)",
        )


def user_service(machine: Machine) -> Iterator[Finding]:
    """A unit of the user's own manager ends with the last log-in, unless the user lingers."""
    home = machine.environ.get("HOME", "")
    unit = machine.root / home.lstrip("/") / ".config/systemd/user" / UNIT
    if not home or not unit.exists():
        return
    if (machine.root / "var/lib/systemd/linger" / machine.user.name).exists():
        yield ok("user service", f"{machine.user.name} lingers")
    else:
        yield warn(
            "user service",
            f"ends when {machine.user.name} logs out, and does not start at boot",
            f"sudo loginctl enable-linger {machine.user.name}",
        )
