"""The shipped unit under a real systemd: the real daemon, the demo model and a synthetic camera.

In the order of a service's life; the services `hung` and `absent` (conftest.py) run beside it.
"""

import re
import time

import pytest
import yaml
from conftest import PASSWORD, SHAPES, configuration
from systemd_box import DEADLINE_S, SystemdBox

pytestmark = pytest.mark.e2e


def status_until(box: SystemdBox, unit: str, pattern: str) -> str:
    """Look at the unit's status until it matches: systemd tells nobody when it changes."""
    deadline = time.monotonic() + DEADLINE_S
    while not re.fullmatch(pattern, text := box.show(unit, "StatusText")):
        assert time.monotonic() < deadline, f"{unit} says {text!r}"
        time.sleep(0.1)
    return text


def retained(box: SystemdBox, topic: str) -> str:
    reader = ["mosquitto_sub", "-u", "edge", "-P", PASSWORD, "-W", "10", "-C", "1"]
    return box.run(*reader, "-q", "1", "-t", f"rfdetr-edge/box/{topic}")


def test_it_is_active_once_the_daemon_is_ready(box):
    box.run("systemctl", "stop", "rfdetr-edge")
    box.start_unit("rfdetr-edge")
    assert box.show("rfdetr-edge", "ActiveState") == "active"
    # The log's "ready" comes right after READY=1, which ``start`` waited for.
    with box.follow("rfdetr-edge") as journal:
        journal.wait_for("ready")


def test_the_status_shows_cameras_and_frame_rate(box):
    up = r"cameras 1/1 up, [1-9]\d*\.\d frames/s, broker connected"
    assert status_until(box, "rfdetr-edge", up)


def test_the_password_came_as_a_credential(box):
    assert retained(box, "status") == "online"
    # Neither the file nor systemd's copy is for anybody else.
    assert box.run("stat", "-c", "%a %U", "/etc/rfdetr-edge/mqtt_password") == "600 root"
    assert PASSWORD not in box.journal("rfdetr-edge")


def test_it_may_read_whether_the_clock_is_right_and_not_set_it(installed):
    program = (
        "import ctypes, time; "
        "assert ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(208)) >= 0; "
        "time.clock_settime(time.CLOCK_REALTIME, time.time())"
    )
    python = "/opt/rfdetr-edge/current/bin/python"
    drop_in = f"Type=oneshot\nExecStart=\nExecStart={python} -c '{program}'\nRestart=no\n"
    installed.another("clock", "", drop_in)
    installed.box.start_unit("clock", code=1)
    assert "PermissionError: [Errno 1]" in installed.box.journal("clock")


def test_a_refused_configuration_is_not_tried_again(installed, box):
    installed.another("refused", configuration({**SHAPES, "trasport": "tcp"}))
    box.start_unit("refused", code=1)
    assert box.show("refused", "ActiveState") == "failed"
    assert box.show("refused", "ExecMainStatus") == "78"
    assert box.show("refused", "NRestarts") == "0"
    assert "did you mean 'transport'?" in box.journal("refused")


def test_a_credential_whose_file_is_missing_is_named(installed, box):
    installed.another(
        "keyless", configuration(SHAPES), "LoadCredential=key:/etc/none\nRestart=no\n"
    )
    box.start_unit("keyless", code=1)
    assert box.show("keyless", "ExecMainStatus") == "243"  # CREDENTIALS


def test_a_reload_takes_over_what_has_changed_and_keeps_the_process(box):
    pid, config = box.show("rfdetr-edge", "MainPID"), box.file("/etc/rfdetr-edge/config.yaml")
    before = config.read_text()
    second = yaml.safe_load(before)
    second["cameras"].append({**SHAPES, "id": "gate"})
    config.write_text(yaml.safe_dump(second))
    box.run("systemctl", "reload", "rfdetr-edge")
    with box.follow("rfdetr-edge") as journal:
        journal.wait_for("reloaded: cameras added: gate")
        status_until(box, "rfdetr-edge", "cameras 2/2 up, .*")
        config.write_text("cameras: []\n")
        box.run("systemctl", "reload", "rfdetr-edge")
        journal.wait_for("reload refused")
    status_until(box, "rfdetr-edge", "cameras 2/2 up, .*; the last reload was refused, see the log")
    config.write_text(before)
    assert box.show("rfdetr-edge", "ActiveState") == "active"
    assert box.show("rfdetr-edge", "MainPID") == pid


def test_stopping_is_in_order(box):
    box.run("systemctl", "stop", "rfdetr-edge")
    assert retained(box, "status") == "stopped"
    assert box.show("rfdetr-edge", "ActiveState") == "inactive"
    assert box.show("rfdetr-edge", "Result") == "success"
    assert box.show("rfdetr-edge", "ExecMainStatus") == "0"


def test_a_loop_that_hangs_is_killed_by_the_watchdog_and_the_daemon_comes_back(box):
    with box.follow("hung") as journal:
        journal.wait_for("Watchdog timeout")
        journal.wait_for("in turn_that_hangs")  # where it hung
        journal.wait_for("Failed with result 'watchdog'")
        journal.wait_for("Started ")
    assert box.show("hung", "NRestarts") == "1"
    status_until(box, "hung", r"cameras 1/1 up, [1-9]\d*\.\d frames/s, broker away")
    box.run("systemctl", "stop", "hung")


def test_a_camera_that_was_never_there_restarts_nothing(box):
    assert box.show("absent", "ActiveState") == "active"
    assert box.show("absent", "NRestarts") == "0"
    assert box.show("absent", "StatusText") == "cameras 0/1 up, 0.0 frames/s, broker away"
    box.run("systemctl", "stop", "absent")
