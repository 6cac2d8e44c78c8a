"""The real command on this machine: with and without a configuration, torch and everything else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from daemon_process import running
from mosquitto import free_port
from sites import site_file

REPOSITORY = Path(__file__).parents[2]


def doctor(*arguments, python=sys.executable, **environ):
    return subprocess.run(
        [python, "-m", "edge", "doctor", *map(str, arguments)],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def levels(output: str) -> dict[str, str]:
    """The worst level of each subject."""
    found: dict[str, str] = {}
    for line in output.splitlines():
        level, subject = line[:6].strip(), line[6:20].strip()
        if level in ("ok", "warn", "fail") and found.get(subject) != "fail":
            found[subject] = level
    return found


@pytest.fixture
def no_torch(tmp_path):
    """A torch that is not there, in front of the installed one: also saves its import."""
    folder = tmp_path / "no-torch"
    folder.mkdir()
    (folder / "torch.py").write_text("raise ModuleNotFoundError('No torch', name='torch')\n")
    return {"PYTHONPATH": str(folder)}


@pytest.mark.e2e
def test_a_site_in_order_beside_its_daemon(broker, tmp_path):
    http = {"host": "127.0.0.1", "port": free_port()}
    file = site_file(tmp_path, "shapes:?seed=1", mqtt={"port": broker.port}, http=http)
    with running("run", "-c", str(file)) as daemon:
        daemon.wait_for_line("ready")
        ran = doctor("-c", file)
        assert daemon.stop() == 0
    assert (ran.returncode, ran.stderr) == (0, "")
    found = levels(ran.stdout)
    assert "fail" not in found.values()
    expected = ("torch", "numpy", "model", "opencv", "broker", "page", "camera cam0", "config")
    assert {subject: found[subject] for subject in expected} == dict.fromkeys(expected, "ok")
    assert "shapes 640x360 at 15 fps, decoder shapes" in ran.stdout
    assert f"127.0.0.1:{http['port']} is in use, as it should be" in ran.stdout
    assert ran.stdout.splitlines()[-1].endswith(" 0 fail")
    # The daemon did not notice.
    assert [line for line in daemon.lines if "connection to the broker" in line] == []
    assert broker.retained("rfdetr-edge/test/status") == {"rfdetr-edge/test/status": b"stopped"}


def test_everything_that_can_be_wrong_with_a_site_at_once(no_torch, tmp_path):
    clip = tmp_path / "empty.mp4"
    clip.write_bytes(b"")
    (tmp_path / "password").write_text("mqtt-geheim")
    file = site_file(
        tmp_path,
        "rtsp://user:rtsp-geheim@127.0.0.1:1/x",
        f"file:{clip}",
        "usb:99",
        mqtt={"port": 1, "username": "u", "password_file": str(tmp_path / "password")},
    )
    ran = doctor("-c", file, "--json", **no_torch)
    assert (ran.returncode, ran.stderr) == (1, "")
    told = json.loads(ran.stdout)
    failed = [finding["subject"] for finding in told["findings"] if finding["level"] == "fail"]
    assert failed == ["torch", "broker", "camera cam0", "camera cam1", "camera cam2"]
    assert "geheim" not in ran.stdout


def test_a_bad_configuration_is_a_finding(no_torch, tmp_path):
    file = tmp_path / "site.yaml"
    file.write_text("cameras: [{id: dock, source: 'rstp://x'}]\n")
    ran = doctor("-c", file, **no_torch)
    assert (ran.returncode, ran.stderr) == (1, "")
    assert levels(ran.stdout)["config"] == "fail"
    assert "did you mean 'rtsp'?" in ran.stdout
    assert levels(ran.stdout)["opencv"] == "ok"  # the rest is still looked at
    # A name that an ASCII terminal cannot show is no reason to stop either.
    ran = doctor("-c", tmp_path / "größe.yaml", PYTHONIOENCODING="ascii", **no_torch)
    assert "gr\\xf6\\xdfe.yaml: no such file" in ran.stdout
    assert (ran.returncode, ran.stderr) == (1, "")


def test_a_python_with_nothing_installed(tmp_path):
    """An environment of its own without any package, and this source folder."""
    folder = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    ran = doctor("-c", tmp_path / "site.yaml", python=folder / "bin" / "python")
    assert (ran.returncode, ran.stderr) == (1, "")
    found = levels(ran.stdout)
    assert (found["torch"], found["opencv"], found["config"]) == ("fail", "fail", "warn")
    assert found["state folder"] == "ok"


def test_an_environment_without_torch(no_torch):
    ran = doctor(**no_torch)
    assert (ran.returncode, ran.stderr) == (1, "")
    assert "fail  torch          is not installed\n" in ran.stdout


def test_a_reader_that_has_seen_enough(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-m", "edge", "doctor"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_wrong_usage():
    assert doctor("--no-such-option").returncode == 2
