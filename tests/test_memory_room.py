"""Room for a second model: asked of the machine, and of the control groups around us."""

from pathlib import Path

import pytest

from edge.config import ModelSettings
from edge.memory_room import NoRoomError, available_bytes, check_room

MIB = 1 << 20


def machine(root: Path, available_mib: int, group: str = "/") -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(
        f"MemTotal:        8000000 kB\nMemAvailable:    {available_mib * 1024} kB\n"
    )
    (root / "proc/self/cgroup").write_text(f"1:name=systemd:/x\n0::{group}\n")
    return root


def limit(folder: Path, most: str, used_mib: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{most}\n")
    (folder / "memory.current").write_text(f"{used_mib * MIB}\n")


def settings(path: Path) -> ModelSettings:
    return ModelSettings.model_construct(path=path, id=None)


def test_without_groups_it_is_what_the_machine_has(tmp_path):
    assert available_bytes(machine(tmp_path, 700)) == 700 * MIB


def test_the_narrowest_group_counts(tmp_path):
    root = machine(tmp_path, 4000, "/system.slice/rfdetr-edge.service")
    limit(root / "sys/fs/cgroup/system.slice/rfdetr-edge.service", "max", 900)
    limit(root / "sys/fs/cgroup/system.slice", str(1500 * MIB), 1000)
    assert available_bytes(root) == 500 * MIB


def test_what_was_read_of_files_is_given_back(tmp_path):
    root = machine(tmp_path, 4000, "/edge")
    limit(root / "sys/fs/cgroup/edge", str(1500 * MIB), 1400)
    stat = f"anon {300 * MIB}\nfile {1100 * MIB}\ninactive_file {900 * MIB}\n"
    (root / "sys/fs/cgroup/edge/memory.stat").write_text(f"{stat}active_file {100 * MIB}\n")
    assert available_bytes(root) == 1100 * MIB


def test_where_nothing_says_how_much_there_is_nothing_is_refused(tmp_path):
    assert available_bytes(tmp_path) is None
    check_room(settings(tmp_path / "none.pth"), tmp_path, tmp_path)


def test_two_copies_and_the_work_have_to_fit(tmp_path):
    weights = tmp_path / "best.pth"
    with weights.open("wb") as file:
        file.truncate(100 * MIB)  # a hole: it takes no place on the disk
    check_room(settings(weights), tmp_path, machine(tmp_path / "a", 456))
    with pytest.raises(NoRoomError, match="needs about 456 MiB of memory, and 455 MiB are"):
        check_room(settings(weights), tmp_path, machine(tmp_path / "b", 455))


def test_hosted_weights_are_looked_up_in_the_cache(tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    with (folder / "rf-detr-seg-nano.pt").open("wb") as file:
        file.truncate(100 * MIB)
    hosted = ModelSettings.model_construct(path=None, id="rfdetr-seg-nano")
    with pytest.raises(NoRoomError, match="456 MiB"):
        check_room(hosted, tmp_path, machine(tmp_path / "c", 300))
