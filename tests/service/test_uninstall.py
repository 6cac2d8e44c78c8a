"""systemd/install.sh --uninstall, after everything else was done to the box."""

import pytest

pytestmark = pytest.mark.e2e


def test_uninstalling_leaves_what_is_the_owners(installed, box):
    config = box.file("/etc/rfdetr-edge/config.yaml").read_text()
    box.start_unit("rfdetr-edge")
    installed.script("--uninstall")
    assert box.show("rfdetr-edge", "LoadState") == "not-found"
    assert not box.file("/opt/rfdetr-edge").exists()
    assert not box.file("/usr/local/bin/rfdetr-edge").is_symlink()
    assert box.file("/etc/rfdetr-edge/config.yaml").read_text() == config
    assert box.file("/var/lib/rfdetr-edge/spool.db").exists()


def test_purging_leaves_nothing(installed, box):
    for other in ("hung", "absent"):
        box.run("systemctl", "stop", other)
    installed.script("--uninstall", "--purge")
    for folder in ("/etc/rfdetr-edge", "/var/lib/rfdetr-edge"):
        assert not box.file(folder).exists()
    assert box.file("/etc/passwd").read_text().count("rfdetr-edge") == 0
    assert not box.file("/etc/systemd/system/rfdetr-edge.service.d").exists()
