"""systemd/install.sh in the box: what it makes and checks. Upgrades: check_*.py."""

import pytest

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
