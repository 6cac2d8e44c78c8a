"""Upgrades that work and that do not start, and roll back. Run by `make test-upgrades` alone."""

import pytest
from conftest import with_line

CONFIG = "/etc/rfdetr-edge/config.yaml"


@pytest.fixture(scope="module", autouse=True)
def first_release_runs(installed):
    installed.box.start_unit("rfdetr-edge")
    assert installed.running()[0] == "0.1.0-1"


def test_an_upgrade_that_does_not_start_makes_room_for_the_old_one(installed, box, wheel, tmp_path):
    release, before = installed.running()
    fails = "raise RuntimeError('a bad release')"
    said = installed.install(with_line(wheel, tmp_path, "edge/daemon.py", fails), code=1)
    assert "0.1.0-2 does not start" in said
    assert "a bad release" in box.journal("rfdetr-edge")
    after, pid = installed.running()
    assert (after, installed.link("current")) == (release, release)
    assert pid != before
    assert box.run("ls", "/opt/rfdetr-edge/releases") == release


def test_an_upgrade_keeps_the_configuration_and_can_be_rolled_back(installed, box, wheel):
    config = box.file(CONFIG).read_text()
    assert "installed 0.1.0-2" in installed.install(wheel)
    assert installed.running()[0] == "0.1.0-2"
    assert (installed.link("current"), installed.link("previous")) == ("0.1.0-2", "0.1.0-1")
    assert box.file(CONFIG).read_text() == config

    box.run("/opt/rfdetr-edge/current/share/install.sh", "--rollback")
    assert installed.running()[0] == "0.1.0-1"
    assert (installed.link("current"), installed.link("previous")) == ("0.1.0-1", "0.1.0-2")


def test_rolling_back_to_what_does_not_start_leaves_the_release_that_does(installed, box):
    before = (installed.link("current"), installed.link("previous"))
    assert before == ("0.1.0-1", "0.1.0-2")
    daemon = installed.code("previous") / "daemon.py"
    works = daemon.read_text()
    daemon.write_text(works + "\nraise RuntimeError('no longer good')\n")
    assert "0.1.0-2 does not start" in installed.script("--rollback", code=1)
    assert "no longer good" in box.journal("rfdetr-edge")
    assert installed.running()[0] == "0.1.0-1"
    assert (installed.link("current"), installed.link("previous")) == before
    daemon.write_text(works)
