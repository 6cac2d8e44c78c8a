"""All checks together: their order, the exit code, and that none of them ends the command."""

import argparse
import dataclasses
import json
import threading

import pytest
from machines import ALL_ELEMENTS, CPU_TORCH, WHEEL_OPENCV, answering, board, computer

from edge.doctor import command
from edge.doctor.finding import fail, ok, warn

ORIN = """\
ok board|ok jetpack|ok python|ok packages|ok gpu devices|ok groups|ok video devices|ok power mode
ok gpu clock|ok throttling|ok power supply|ok temperature|ok memory|ok clock|ok hardware clock
ok service|ok torch|ok torchvision|ok numpy|ok checkpoints|ok opencv|ok gstreamer
ok state folder|ok cache folder"""
PC = """\
ok board|ok python|ok packages|ok memory|ok clock|ok service|ok torch|ok torchvision|ok numpy
ok opencv|ok state folder|ok cache folder"""


def asked(config=None, as_json=False):
    return argparse.Namespace(config=config, json=as_json)


def lines(findings):
    return [f"{finding.level} {finding.subject}" for finding in findings]


@pytest.mark.parametrize("jetpack", ["6.1", "6.2"])
def test_a_healthy_orin(tmp_path, jetpack, monkeypatch):
    monkeypatch.setattr(command.opencv, "installed_wheels", list)
    machine, _ = board(tmp_path, jetpack)
    assert lines(command.examine(machine, None)) == ORIN.replace("\n", "|").split("|")


def test_an_orin_on_jetpack_60_is_told_to_upgrade(tmp_path, monkeypatch):
    monkeypatch.setattr(command.opencv, "installed_wheels", list)
    machine, _ = board(tmp_path, "6.0")
    worse = [f for f in command.examine(machine, None) if f.level != "ok"]
    assert [f.what for f in worse] == ["CUDA 12.6 on JetPack 6.0, which has CUDA 12.2"]


def test_a_plain_computer_hears_nothing_about_jetsons(tmp_path):
    machine, _ = computer(tmp_path)
    assert lines(command.examine(machine, None)) == PC.replace("\n", "|").split("|")


def test_a_careless_pip_install_on_an_orin(tmp_path, monkeypatch, capsys):
    wheels = ["opencv-python-headless 4.14.0.94"]
    monkeypatch.setattr(command.opencv, "installed_wheels", lambda: wheels)
    machine, _ = board(
        tmp_path,
        probe=answering(
            torch={**CPU_TORCH, "version": "2.8.0"}, opencv=WHEEL_OPENCV, gstreamer=ALL_ELEMENTS
        ),
    )
    assert command.doctor(asked(), machine) == 1
    printed = capsys.readouterr().out
    assert (
        "fail  torch          2.8.0 is a CPU build: it cannot use this board's GPU\n"
        "                     fix: pip install --force-reinstall --no-deps --requirement"
        " constraints/torch-jp6-cu126.txt\n"
    ) in printed
    assert printed.endswith("\n22 ok, 1 warn, 1 fail\n")


def test_warnings_alone_are_no_failure(tmp_path, capsys):
    machine, tree = computer(tmp_path, probe=answering(torch=CPU_TORCH, opencv=WHEEL_OPENCV))
    tree.write("proc/meminfo", "MemTotal: 1000000 kB\nMemAvailable: 100000 kB\n")
    assert command.doctor(asked(), machine) == 0
    assert capsys.readouterr().out.endswith("\n11 ok, 1 warn, 0 fail\n")


def test_as_json(tmp_path, capsys):
    machine, _ = computer(tmp_path, probe=answering(opencv=WHEEL_OPENCV))
    assert command.doctor(asked(as_json=True), machine) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["counts"] == {"ok": 9, "warn": 0, "fail": 1}
    (failed,) = [finding for finding in told["findings"] if finding["level"] == "fail"]
    assert failed["subject"] == "torch"
    assert failed["what"] == "is not installed"


def test_a_check_that_crashes_is_a_finding():
    def check():
        yield ok("subject", "the first half")
        raise ZeroDivisionError("division by zero\nwith more to tell")

    first, second = command.guarded("subject", check)
    assert first == ok("subject", "the first half")
    assert (second.level, second.what) == ("warn", "could not be checked: division by zero")


def test_a_check_that_lacks_a_package_names_it():
    def check():
        raise ModuleNotFoundError("No module named 'pydantic'")

    (finding,) = command.guarded("config", check)
    assert finding == warn(
        "config", "could not be checked: No module named 'pydantic'", finding.fix
    )
    assert "packages" in finding.fix


def test_a_check_that_hangs_is_left_behind():
    never = threading.Event()

    def check():
        yield fail("subject", "before", "mend it")
        never.wait()

    first, second = command.guarded("subject", check, longest_s=0.2)
    never.set()
    assert first.what == "before"
    assert second.what.startswith("could not be checked: no answer within")


def test_long_names_do_not_run_into_the_text():
    assert command.line(ok("camera back-yard-north", "640x360")) == (
        "ok    camera back-yard-north 640x360"
    )
    assert command.line(ok("torch", "2.8.0")) == "ok    torch          2.8.0"


def test_no_machine_is_too_bare(tmp_path):
    """Nothing that is usually there is there."""
    pc, _ = computer(tmp_path / "pc", run=lambda command: None)
    empty = dataclasses.replace(pc, root=tmp_path / "empty")
    assert {finding.level for finding in command.examine(empty, None)} == {"ok"}
    whole, _ = board(tmp_path / "jetson", run=lambda command: None)
    bare = dataclasses.replace(whole, root=tmp_path / "bare")
    (tmp_path / "bare/etc").mkdir(parents=True)
    (tmp_path / "bare/etc/nv_tegra_release").write_text("nonsense\n")
    told = list(command.examine(bare, None))
    assert [f.what for f in told if "could not be checked" in f.what] == []
    assert "fail gpu devices" in lines(told)
