import json
import logging
import threading
from pathlib import Path

import pytest

from edge.camera_memory import MOST_CAMERAS, MOST_LABELS, CameraMemory


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "cameras.json"


def test_a_camera_nobody_knows_is_on_and_has_seen_nothing(path: Path) -> None:
    memory = CameraMemory(path)
    assert memory.enabled("dock")
    assert memory.labels("dock") == []
    assert not path.exists()


def test_the_next_run_knows_what_is_off_and_what_was_seen(path: Path) -> None:
    memory = CameraMemory(path)
    memory.set_enabled("dock", False)
    memory.set_enabled("gate", False)
    memory.set_enabled("gate", True)
    memory.add_label("dock", "person")
    memory.add_label("dock", "Gabelstapler groß \ud800")
    memory.add_label("gate", "car")
    memory.set_components("gate", {"enabled": "switch"})

    memory = CameraMemory(path)

    assert not memory.enabled("dock")
    assert memory.enabled("gate")
    assert memory.labels("dock") == ["person", "Gabelstapler groß \ud800"]
    assert memory.labels("gate") == ["car"]
    assert memory.components("dock") == {}
    assert memory.components("gate") == {"enabled": "switch"}


def test_what_was_known_before_costs_no_write(path: Path) -> None:
    memory = CameraMemory(path)
    memory.set_enabled("dock", False)
    memory.add_label("dock", "person")
    path.unlink()
    memory.set_enabled("dock", False)
    memory.add_label("dock", "person")
    memory.set_enabled("gate", True)
    assert not path.exists()


def test_labels_that_were_handed_out_do_not_change(path: Path) -> None:
    memory = CameraMemory(path)
    memory.add_label("dock", "person")
    labels = memory.labels("dock")
    memory.add_label("dock", "car")
    labels.append("truck")
    assert memory.labels("dock") == ["person", "car"]


def write(path: Path, cameras: dict[str, object]) -> None:
    path.parent.mkdir()
    path.write_text(json.dumps({"version": 1, "cameras": cameras}))


def test_the_camera_left_alone_longest_is_forgotten_first(path: Path) -> None:
    write(path, {f"c{n}": {"enabled": False, "labels": []} for n in range(MOST_CAMERAS)})
    memory = CameraMemory(path)
    memory.add_label("c0", "person")
    memory.set_enabled("one-more", False)
    for remembered in (memory, CameraMemory(path)):
        assert remembered.enabled("c1")
        assert not any(remembered.enabled(camera) for camera in ("c0", "c2", "one-more"))


def test_the_label_known_longest_is_forgotten_first(path: Path) -> None:
    labels = [f"l{n}" for n in range(MOST_LABELS)]
    write(path, {"dock": {"enabled": True, "labels": labels}})
    memory = CameraMemory(path)
    memory.add_label("dock", "one more")
    assert memory.labels("dock") == [*labels[1:], "one more"]


def test_threads_do_not_lose_each_others_labels(path: Path) -> None:
    memory = CameraMemory(path)

    def see(thread: int) -> None:
        for number in range(10):
            memory.add_label("dock", f"{thread}-{number}")

    threads = [threading.Thread(target=see, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    expected = {f"{thread}-{number}" for thread in range(4) for number in range(10)}
    assert set(CameraMemory(path).labels("dock")) == expected


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b'{"version": 2, "cameras": {}}',
        b'{"version": 1}',
        b'{"version": 1, "cameras": {"dock": {"labels": []}}}',
        b'{"version": 1, "cameras": {"dock": {"enabled": 0, "labels": []}}}',
        b'{"version": 1, "cameras": {"dock": {"enabled": false, "labels": ["a", 1]}}}',
    ],
)
def test_a_damaged_file_is_set_aside_and_said(
    path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    memory = CameraMemory(path)
    assert memory.enabled("dock")
    assert path.with_name("cameras.json.corrupt").read_bytes() == content
    (said,) = [record.getMessage() for record in caplog.records]
    assert said == (
        f"{path} is not a record of cameras: set aside as cameras.json.corrupt; "
        "cameras that were switched off are on again"
    )
    memory.set_enabled("dock", False)
    assert json.loads(path.read_text())["cameras"]["dock"]["enabled"] is False


def test_a_folder_that_cannot_be_written_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("a file, not a folder")
    memory = CameraMemory(tmp_path / "state" / "cameras.json")
    caplog.clear()
    memory.set_enabled("dock", False)
    memory.add_label("dock", "person")
    assert not memory.enabled("dock")
    assert memory.labels("dock") == ["person"]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().endswith("will not know which cameras are switched off")


def test_what_could_not_be_written_is_written_later(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.parent.mkdir(exist_ok=True)
    path.parent.write_text("in the way of the folder")
    memory = CameraMemory(path)
    memory.set_enabled("dock", False)
    memory.retry(100.0)
    assert "cannot write" in caplog.text
    path.parent.unlink()
    memory.retry(102.0)
    assert not path.exists(), "not so soon"
    memory.retry(105.0)
    assert not CameraMemory(path).enabled("dock")
    path.unlink()
    memory.retry(200.0)
    assert not path.exists(), "once is enough"
    assert caplog.text.count("cannot write") == 1
