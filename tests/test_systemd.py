"""What the service manager is told, read off a socket like its own."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.systemd import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        yield listening


def notifier(manager: socket.socket, **environ: str) -> Notifier:
    return Notifier({"NOTIFY_SOCKET": manager.getsockname(), **environ})


def test_a_reload_begins_with_the_time_and_ends_with_ready(manager: socket.socket):
    before_usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    told = notifier(manager)
    told.reloading()
    told.ready()
    after_usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    first, second = manager.recv(4096).decode().splitlines()
    assert first == "RELOADING=1"
    name, usec = second.split("=")
    assert name == "MONOTONIC_USEC"
    assert before_usec <= int(usec) <= after_usec
    assert manager.recv(4096) == b"READY=1"


def test_a_longer_start_is_asked_for_in_microseconds(manager: socket.socket):
    notifier(manager).extend_start(60)
    assert manager.recv(4096) == b"EXTEND_TIMEOUT_USEC=60000000"


def test_an_abstract_address_starts_with_a_nul():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        name = f"rfdetr-edge-test-{os.getpid()}"
        listening.bind(f"\0{name}")
        listening.settimeout(5)
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert listening.recv(4096) == b"READY=1"


def test_the_watchdog_is_fed_only_where_the_unit_asks_for_it(manager: socket.socket):
    for environ in (
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid() + 1)},
    ):
        notifier(manager, **environ).alive()
    ours = {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}
    fed = notifier(manager, **ours)
    fed.alive()
    fed.stopping()
    assert (manager.recv(4096), manager.recv(4096)) == (b"WATCHDOG=1", b"STOPPING=1")


def test_nobody_to_tell_is_no_fault(tmp_path: Path):
    Notifier({}).ready()
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
