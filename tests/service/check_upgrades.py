"""More upgrades that fail. Named to be left out by `make test`: `make test-upgrades` runs it."""

import shutil

import pytest
from conftest import with_line

CONFIG = "/etc/rfdetr-edge/config.yaml"
# Changed in what only a release of its own can know.
REFUSES = "def load_config(*_): raise ConfigError(['this release wants less'])"


@pytest.fixture(scope="module", autouse=True)
def first_release_runs(installed):
    installed.box.start_unit("rfdetr-edge")
    assert installed.running()[0] == "0.1.0-1"


def test_an_upgrade_that_cannot_be_installed_leaves_the_old_one_running(
    installed, box, wheel, tmp_path
):
    before = installed.running()
    half = tmp_path / wheel.name
    shutil.copy(wheel, half)
    with half.open("r+b") as file:
        file.truncate(half.stat().st_size // 2)
    installed.install(half, code=1)
    assert installed.running() == before
    assert box.run("ls", "/opt/rfdetr-edge/releases") == "0.1.0-1"


def test_an_upgrade_that_refuses_the_configuration_leaves_the_old_one_running(
    installed, box, wheel, tmp_path
):
    before = installed.running()
    said = installed.install(with_line(wheel, tmp_path, "edge/config.py", REFUSES), code=1)
    assert "\nthis release wants less\n" in said, said
    assert installed.running() == before
    assert box.run("ls", "/opt/rfdetr-edge/releases") == "0.1.0-1"


def test_a_stopped_service_is_upgraded_whatever_its_configuration_says(installed, box, wheel):
    config = box.file(CONFIG).read_text()
    box.run("systemctl", "stop", "rfdetr-edge")
    box.write(CONFIG, config + "spoool: {}\n")
    assert "installed 0.1.0-2" in installed.install(wheel)
    assert box.show("rfdetr-edge", "ActiveState") == "inactive"
    assert box.file(CONFIG).read_text() == config + "spoool: {}\n"
    assert (installed.link("current"), installed.link("previous")) == ("0.1.0-2", "0.1.0-1")


def test_only_two_releases_are_kept(installed, box, wheel):
    installed.install(wheel)
    assert box.run("ls", "/opt/rfdetr-edge/releases").split() == ["0.1.0-2", "0.1.0-3"]


def test_rolling_back_to_what_refuses_the_configuration_changes_nothing(installed, box):
    config = box.file(CONFIG).read_text()
    box.write(CONFIG, config.replace("spoool: {}\n", ""))
    box.start_unit("rfdetr-edge")
    before = installed.running()
    with (installed.code("previous") / "config.py").open("a") as file:
        file.write(f"\n{REFUSES}\n")
    said = installed.script("--rollback", code=1)
    assert "\nthis release wants less\n" in f"\n{said}", said
    assert installed.running() == before
    assert (installed.link("current"), installed.link("previous")) == ("0.1.0-3", "0.1.0-2")
