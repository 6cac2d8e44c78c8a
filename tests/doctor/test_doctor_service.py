"""The systemd service, as systemd tells of it."""

import fcntl
import os

import pytest
from machines import UNIT, Commands, computer, jetson
from sites import site

from edge.doctor import service
from edge.doctor.finding import ok
from edge.doctor.machine import Machine, Ran, User


def with_unit(tmp_path, **changed):
    machine, _ = jetson(tmp_path, run=Commands({**UNIT, **changed}))
    return machine


def levels(findings):
    return [finding.level for finding in findings]


def test_a_service_that_runs(tmp_path):
    assert list(service.service(with_unit(tmp_path))) == [ok("service", "active (running)")]


def test_a_machine_without_systemd(tmp_path):
    machine, _ = computer(tmp_path)
    assert list(service.service(machine)) == [ok("service", "no systemd here, as in a container")]
    assert list(service.service_user(machine)) == []


def test_a_unit_that_is_not_installed(tmp_path):
    machine = with_unit(tmp_path, LoadState="not-found", ActiveState="inactive")
    assert list(service.service(machine)) == [ok("service", "rfdetr-edge.service is not installed")]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("78", "a refusal (78)"),
        ("1", "a failure (1)"),
        ("71", "(71)"),
        ("2", "(2)"),
        ("6", "watchdog"),
    ],
)
def test_a_service_that_has_failed(tmp_path, code, why):
    machine = with_unit(
        tmp_path, ActiveState="failed", SubState="failed", ExecMainStatus=code, Result="watchdog"
    )
    (finding,) = service.service(machine)
    assert finding.level == "fail"
    assert finding.what.endswith(why)


def test_a_service_between_two_tries(tmp_path):
    machine = with_unit(
        tmp_path,
        ActiveState="activating",
        SubState="auto-restart",
        ExecMainStatus="1",
        NRestarts="4",
    )
    assert levels(service.service(machine)) == ["fail"]


def test_a_service_that_was_restarted(tmp_path):
    (finding,) = service.service(with_unit(tmp_path, NRestarts="4"))
    assert (finding.level, finding.what[:19]) == ("warn", "active, restarted 4")


def test_a_service_that_was_never_started(tmp_path):
    machine = with_unit(tmp_path, ActiveState="inactive", SubState="dead", WatchdogUSec="0")
    (finding,) = service.service(machine)
    assert (finding.level, finding.what) == ("warn", "is installed, and does not run")


def test_what_else_a_unit_can_lack(tmp_path):
    machine = with_unit(
        tmp_path,
        UnitFileState="disabled",
        WatchdogUSec="0",
        NeedDaemonReload="yes",
        PrivateDevices="yes",
        ProtectClock="yes",
    )
    assert levels(service.service(machine)) == ["warn", "ok", "warn", "warn", "fail", "fail"]


def test_an_old_systemd(tmp_path):
    def run(command):
        return Ran(0, "systemd 245 (245.4-4ubuntu3)\n" if "--version" in command else "", "")

    machine, _ = jetson(tmp_path, run=run)
    assert levels(service.service(machine)) == ["warn", "ok"]


def test_asked_as_somebody_else(tmp_path):
    assert list(service.service_user(with_unit(tmp_path))) == []
    (finding,) = service.service_user(with_unit(tmp_path / "2", User="rfdetr-edge"))
    assert (finding.level, finding.what) == (
        "warn",
        "asked as edge, but the service runs as rfdetr-edge",
    )


def test_a_unit_without_the_groups(tmp_path):
    machine = with_unit(tmp_path, SupplementaryGroups="", User="edge")
    assert list(service.service_user(machine)) == []  # /etc/group has it in both
    (tmp_path / "etc/group").write_text("video:x:44:edge\nrender:x:104:\n")
    (finding,) = service.service_user(machine)
    assert finding.level == "fail"
    machine = with_unit(tmp_path / "2", SupplementaryGroups="render", User="edge")
    (tmp_path / "2/etc/group").write_text("video:x:44:\nrender:x:104:edge\n")
    (finding,) = service.service_user(machine)
    assert finding.what == "the service has no group video: no GPU, no cameras"


def test_csi_cameras_behind_a_private_tmp(tmp_path):
    csi = site(tmp_path / "csi", "csi:0").config
    machine = with_unit(tmp_path)
    assert levels(service.argus_in_service(machine, csi)) == ["fail"]
    assert list(service.argus_in_service(machine, site(tmp_path / "s", "shapes:").config)) == []
    machine = with_unit(tmp_path / "2", PrivateTmp="no")
    assert list(service.argus_in_service(machine, csi)) == []
    pc, _ = computer(tmp_path / "pc")
    assert list(service.argus_in_service(pc, csi)) == []


def test_a_users_own_service_needs_lingering(tmp_path):
    machine, tree = computer(tmp_path)
    assert list(service.user_service(machine)) == []
    tree.write("home/edge/.config/systemd/user/rfdetr-edge.service", "")
    (finding,) = service.user_service(machine)
    assert (finding.level, finding.fix) == ("warn", "sudo loginctl enable-linger edge")
    tree.write("var/lib/systemd/linger/edge", "")
    assert list(service.user_service(machine)) == [ok("user service", "edge lingers")]


def test_a_daemon_that_runs_as_the_service(tmp_path):
    assert service.daemon_runs(with_unit(tmp_path), tmp_path / "not-made")
    stopped = with_unit(tmp_path / "2", ActiveState="inactive")
    assert not service.daemon_runs(stopped, tmp_path / "not-made")


def test_a_daemon_that_runs_is_known_by_its_lock(tmp_path):
    machine = Machine(user=User("edge", 1000, frozenset()), run=lambda command: None)
    assert not service.daemon_runs(machine, tmp_path / "not-made")
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        assert not service.daemon_runs(machine, tmp_path)
        fcntl.flock(folder, fcntl.LOCK_EX)
        assert service.daemon_runs(machine, tmp_path)
    finally:
        os.close(folder)
    assert not service.daemon_runs(machine, tmp_path)
