"""The unit file, read by systemd's own tools."""

import configparser
import re
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[1] / "systemd" / "rfdetr-edge.service"


def settings() -> dict[str, str]:
    text = re.sub(r"^#.*$", "", UNIT.read_text(), flags=re.MULTILINE)
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str
    parser.read_string(text)
    return dict(parser["Service"])


@pytest.mark.e2e
def test_systemd_understands_every_line(tmp_path):
    # Only the command is exchanged for one that is there.
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.M))
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")


def test_what_must_not_be_restarted_is_not():
    assert settings()["Restart"] == "on-failure"
    assert settings()["RestartPreventExitStatus"].split() == ["2", "78"]


def test_nothing_that_hides_the_gpu():
    assert not {"PrivateDevices", "ProtectClock", "MemoryDenyWriteExecute"} & set(settings())


def test_stopping_has_more_time_than_the_daemon_needs():
    assert int(settings()["TimeoutStopSec"]) > 10
