"""The unit file, read by systemd's own tools."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[1] / "systemd" / "rfdetr-edge.service"
DROP_INS = sorted((UNIT.parent / "drop-ins").iterdir())


def settings(section: str = "Service") -> dict[str, str]:
    text = re.sub(r"^#.*$", "", UNIT.read_text(), flags=re.MULTILINE)
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str
    parser.read_string(text)
    return dict(parser[section])


def in_folder(folder: Path, drop_ins: list[Path]) -> Path:
    """The unit and drop-ins as systemd looks for them; only the command is one that is there."""
    unit = folder / UNIT.name
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.M))
    (folder / f"{UNIT.name}.d").mkdir()
    for drop_in in drop_ins:
        shutil.copy(drop_in, folder / f"{UNIT.name}.d")
    return unit


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.e2e
@pytest.mark.parametrize("drop_ins", [[], DROP_INS], ids=["alone", "with every drop-in"])
def test_systemd_understands_every_line(tmp_path, drop_ins):
    verified = analyze("verify", in_folder(tmp_path, drop_ins))
    assert (verified.returncode, verified.stderr) == (0, "")


@pytest.mark.e2e
def test_it_is_hardened(tmp_path):
    # 30 stands for 3.0 of 10, the exposure that is allowed at most.
    security = analyze("security", "--offline=true", "--threshold=30", in_folder(tmp_path, []))
    assert security.returncode == 0, security.stdout


def test_nothing_that_systemd_249_does_not_know():
    # What came with 250 to 252; younger keys are unknown to Debian 12's systemd-analyze, too.
    newer = {
        "ExitType", "ExtensionDirectories", "LoadCredentialEncrypted", "RestrictFileSystems",
        "RestrictNetworkInterfaces", "SetCredentialEncrypted", "StartupAllowedCPUs",
        "StartupAllowedMemoryNodes",
    }  # fmt: skip
    assert not newer & set(settings())
    assert settings()["Type"] == "notify"  # notify-reload came with 253


def test_the_daemons_own_faults_never_reach_the_start_limit():
    limit = settings("Unit")
    tries = int(limit["StartLimitIntervalSec"]) / int(settings()["RestartSec"])
    assert tries < int(limit["StartLimitBurst"])


def test_what_must_not_be_restarted_is_not():
    assert settings()["Restart"] == "on-failure"
    assert settings()["RestartPreventExitStatus"].split() == ["2", "78"]


def test_nothing_that_hides_the_gpu():
    assert not {"PrivateDevices", "ProtectClock", "MemoryDenyWriteExecute"} & set(settings())


def test_stopping_has_more_time_than_the_daemon_needs():
    assert int(settings()["TimeoutStopSec"]) > 10
