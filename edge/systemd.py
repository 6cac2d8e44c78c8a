"""What systemd wants to be told: ready, reloading, alive, stopping (sd_notify's datagrams)."""

import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Sends state to the service manager; does nothing where there is none."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        usec, pid = environ.get("WATCHDOG_USEC", "0"), environ.get("WATCHDOG_PID")
        ours = pid is None or pid == str(os.getpid())
        self.watchdog_s = int(usec) / 1e6 if ours and usec.isdigit() else 0.0

    def ready(self) -> None:
        self._send("READY=1")

    def reloading(self) -> None:
        """The configuration is being read anew; followed by ``ready`` when that is over."""
        # The time tells one reload from another to a systemd of 253 or newer; older ones ignore it.
        now_usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={now_usec}")

    def status(self, text: str) -> None:
        self._send(f"STATUS={text}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Feed the watchdog, where the unit asks for one."""
        if self.watchdog_s:
            self._send("WATCHDOG=1")

    def extend_start(self, seconds: float) -> None:
        """Ask for more time to start, while loading makes progress."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        # An address that starts with @ is abstract: a NUL in its place.
        address = self._address.replace("@", "\0", 1) if self._address[0] == "@" else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            try:
                sock.sendto(state.encode(), address)
            except OSError:
                pass  # a service manager that is gone is no reason to stop working
