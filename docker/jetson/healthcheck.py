"""The container's health check: is the daemon alive, by its own word?

    healthcheck.py [--kill-after SECONDS]

Exits with 0 if the address in RFDETR_EDGE_HEALTH_URL answers 200, else with 1 and the reason.
Docker only marks a container as unhealthy. With --kill-after a daemon that has shown no life for so
long is killed, as systemd's watchdog would, and the restart policy starts another. For that it must
not be the container's first process (`init: true`): the kernel lets nobody inside kill that one.
"""

import http.client
import json
import os
import signal
import ssl
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

TIMEOUT_S = 4.0
NOTE = Path("/tmp/rfdetr-edge-unhealthy")  # since when, and which process
PROC = Path("/proc")


def main(arguments: list[str], url: str, now_s: float, note: Path = NOTE, proc: Path = PROC) -> int:
    """The exit code. ``now_s`` is on a clock that all checks share."""
    reason = why_not_alive(url)
    if not reason:
        note.unlink(missing_ok=True)
        return 0
    print(reason)
    if arguments[:1] == ["--kill-after"]:
        kill_after(float(arguments[1]), now_s, note, proc)
    return 1


def why_not_alive(url: str) -> str:
    """Empty if alive. Asks no proxy of the environment's, and verifies no certificate: it is us."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port
    connection = (
        http.client.HTTPSConnection(
            host, port, timeout=TIMEOUT_S, context=ssl._create_unverified_context()
        )
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    )
    try:
        connection.request("GET", parts.path)
        response = connection.getresponse()
        body = response.read(1000).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"{url}: {error!r}"
    finally:
        connection.close()
    return "" if response.status == 200 else f"{url}: {response.status} {body}"


def kill_after(limit_s: float, now_s: float, note: Path, proc: Path) -> None:
    """Note since when the daemon shows no life; kill it once that is ``limit_s`` ago."""
    found = daemon(proc)
    if found is None:
        return
    pid, started = found
    since_s = now_s
    try:
        noted = json.loads(note.read_text())
        if noted["process"] == [pid, started]:  # and not one before it
            since_s = noted["since_s"]
    except (OSError, ValueError):
        pass
    note.write_text(json.dumps({"process": [pid, started], "since_s": since_s}))
    if now_s - since_s >= limit_s:
        print(f"no sign of life for {now_s - since_s:.0f} s: killing the daemon")
        os.kill(pid, signal.SIGKILL)  # it may be stopped, and would never see another signal


def daemon(proc: Path) -> tuple[int, str] | None:
    """Its process number, and when that was started (in ticks since boot)."""
    for pid in sorted(int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()):
        try:
            arguments = (proc / str(pid) / "cmdline").read_bytes().split(b"\0")
            fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if len(arguments) > 1 and arguments[1].endswith(b"/rfdetr-edge"):
            return pid, fields[19]
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ["RFDETR_EDGE_HEALTH_URL"], time.monotonic()))
