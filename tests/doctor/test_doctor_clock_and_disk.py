"""The time of day, and the folders on the disk."""

import pytest
from machines import SetClock, computer, jetson

from edge.doctor import clock, disk
from edge.doctor.finding import ok

MIB = 1 << 20


def test_a_clock_that_follows_a_time_server():
    assert list(clock.clock(SetClock())) == [ok("clock", "2026-11-22T06:31:14Z, synchronised")]


def test_a_clock_on_its_own():
    assert [f.level for f in clock.clock(SetClock(synced=False))] == ["warn"]


def test_a_board_that_started_in_1970():
    (finding,) = clock.clock(SetClock(wall_s=75.0, synced=False))
    assert finding.level == "fail"
    assert finding.what.startswith("1970-01-01T00:01:15Z cannot be right")


def test_a_hardware_clock_without_a_battery(tmp_path):
    machine, tree = jetson(tmp_path)
    assert [f.level for f in clock.hardware_clock(machine)] == ["ok"]
    tree.write("sys/class/rtc/rtc0/since_epoch", "75\n")
    assert [f.level for f in clock.hardware_clock(machine)] == ["warn"]
    # The board has two: the one with the battery counts.
    tree.write("sys/class/rtc/rtc1/since_epoch", "1795329000\n")
    assert [f.level for f in clock.hardware_clock(machine)] == ["ok"]
    pc, _ = computer(tmp_path / "pc")
    assert list(clock.hardware_clock(pc)) == []


def mounted(tree, kind, at="/"):
    tree.write(
        "proc/self/mountinfo",
        f"21 1 259:1 / / rw - ext4 /dev/x rw\n30 21 0:1 / {at} rw shared:1 - {kind} server:/x rw\n",
    )


def test_a_state_folder_in_order(tmp_path):
    machine, _ = computer(tmp_path / "root")
    folder = tmp_path / "state"
    folder.mkdir()
    (finding,) = disk.state_folder(machine, folder, free=lambda path: 900 * MIB)
    assert finding.level == "ok"
    assert finding.what.startswith(f"{folder}, 900 MiB free, an event kept in ")
    assert list(folder.iterdir()) == []


def test_a_state_folder_that_is_still_to_be_made(tmp_path):
    machine, _ = computer(tmp_path / "root")
    folder = tmp_path / "not" / "yet"
    (finding,) = disk.state_folder(machine, folder, free=lambda path: 900 * MIB)
    assert finding == ok("state folder", f"{folder} will be made, 900 MiB free")
    assert not folder.parent.exists()


def test_a_full_disk(tmp_path):
    machine, _ = computer(tmp_path)
    (finding,) = disk.state_folder(machine, tmp_path, 64 * MIB, free=lambda path: 12 * MIB)
    assert finding.level == "fail"
    assert finding.what == f"12 MiB free for {tmp_path}, the spool may need 64"


@pytest.mark.parametrize(
    ("kind", "level"),
    [("nfs4", "fail"), ("cifs", "fail"), ("tmpfs", "warn"), ("vfat", "warn"), ("ext4", None)],
)
def test_the_kind_of_file_system(tmp_path, kind, level):
    machine, tree = computer(tmp_path / "root")
    mounted(tree, kind, at=tmp_path)
    found = [f.level for f in disk.state_folder(machine, tmp_path) if f.level != "ok"]
    assert found == ([] if level is None else [level])


def test_a_container_without_a_volume(tmp_path):
    machine, tree = computer(tmp_path / "root")
    mounted(tree, "overlay", at=tmp_path)
    assert [f.level for f in disk.state_folder(machine, tmp_path)] == ["ok"]  # a live system
    tree.write(".dockerenv", "")
    assert [f.level for f in disk.state_folder(machine, tmp_path)] == ["warn", "ok"]


def test_the_mount_point_that_is_nearest(tmp_path):
    _, tree = computer(tmp_path / "root")
    place = tmp_path / "with space" / "state"
    place.mkdir(parents=True)
    escaped = str(place.parent).replace(" ", r"\040")
    mounted(tree, "nfs", at=escaped)
    assert disk.filesystem(place, tree.root) == "nfs"
    assert disk.filesystem(tmp_path, tree.root) == "ext4"
    assert disk.filesystem(tmp_path, tmp_path / "nothing") == ""


def test_a_folder_that_refuses_a_database(tmp_path, monkeypatch):
    machine, _ = computer(tmp_path / "root")

    def refuse(folder):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(disk, "commit_time_s", refuse)
    (finding,) = disk.state_folder(machine, tmp_path)
    assert finding.level == "fail"
    assert finding.what.startswith(f"SQLite cannot write in {tmp_path}: ")
    monkeypatch.setattr(disk, "commit_time_s", lambda folder: 0.25)
    (finding,) = disk.state_folder(machine, tmp_path)
    assert (finding.level, finding.what) == ("warn", f"{tmp_path} takes 250 ms to keep an event")


def test_a_folder_of_somebody_else(tmp_path):
    machine, _ = computer(tmp_path / "root", may_use=lambda path: path != tmp_path)
    (finding,) = disk.state_folder(machine, tmp_path / "state")
    assert (finding.level, finding.what) == ("fail", f"edge may not write to {tmp_path}")
    (finding,) = disk.cache_folder(machine, tmp_path / "cache", True)
    assert (finding.level, finding.fix) == ("warn", f"sudo install -d -o edge {tmp_path}/cache")


def test_room_for_weights(tmp_path):
    machine, _ = computer(tmp_path / "root")

    def level(needs_weights, free_mib):
        found = disk.cache_folder(
            machine, tmp_path / "cache", needs_weights, free=lambda path: free_mib * MIB
        )
        return [finding.level for finding in found]

    assert level(True, 5000) == ["ok"]
    assert level(True, 100) == ["fail"]
    assert level(False, 100) == ["ok"]
