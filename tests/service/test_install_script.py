"""systemd/install.sh in the box: what it makes, upgrades that fail and work, roll back."""

import pytest
from conftest import with_line

pytestmark = pytest.mark.e2e

CONFIG = "/etc/rfdetr-edge/config.yaml"


@pytest.fixture(scope="module", autouse=True)
def first_release_runs(installed):
    installed.box.start_unit("rfdetr-edge")
    assert installed.running()[0] == "0.1.0-1"


def test_it_makes_account_folders_and_command(box):
    account = box.run("id", "-Gn", "rfdetr-edge").split()
    assert account[0] == "rfdetr-edge"
    assert set(account[1:]) == {"video", "render"}
    folders = ["/etc/rfdetr-edge", "/var/lib/rfdetr-edge", "/var/cache/rfdetr-edge"]
    assert box.run("stat", "-c", "%a %U %G", *folders).splitlines() == [
        "750 root rfdetr-edge",
        "750 rfdetr-edge rfdetr-edge",
        "750 rfdetr-edge rfdetr-edge",
    ]
    assert box.run("stat", "-c", "%a %U", "/etc/rfdetr-edge/environment") == "600 root"
    assert box.run("rfdetr-edge", "--version") == "rfdetr-edge 0.1.0"


def test_it_asks_for_a_torch_where_it_cannot_know(installed):
    assert "say which torch" in installed.script(code=2)


def test_what_is_asked_wrongly_changes_nothing(installed):
    assert installed.script("--wheels", "", code=2) == "install.sh: --wheels needs a value"
    said = installed.script("--torch", "none", "--python", "/nope", code=2)
    assert said.startswith("install.sh: /nope is no Python 3.10 to 3.13")  # before any step


def test_it_checks_the_configuration_with_what_only_the_service_has(installed, box):
    assert installed.script("--check-config") == f"{CONFIG}: OK"
    config = box.file(CONFIG).read_text()
    box.write(CONFIG, config + "spoool: {}\n")
    assert f"{CONFIG}: spoool: unknown key" in installed.script("--check-config", code=1)
    box.write(CONFIG, config)
    assert box.file("/run/rfdetr-edge").is_dir()  # the running service's


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
