import json
from pathlib import Path

import pytest
from publishing import Said

from edge.publish.retained import RetainedTopics


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "retained.json"


def on_disk(path: Path, broker: str = "b:1") -> list[str]:
    return json.loads(path.read_text())["brokers"].get(broker, [])


def test_topic_of_an_earlier_run_is_stale(path: Path):
    RetainedTopics(path, "b:1").keep(["x/info", "x/dock/status"])
    record = RetainedTopics(path, "b:1")
    record.keep(["x/info"])
    assert record.stale() == ["x/dock/status"]


def test_topic_is_on_disk_before_it_is_published(path: Path):
    RetainedTopics(path, "b:1").keep(["x/info"])
    assert on_disk(path) == ["x/info"]


def test_file_is_shortened_when_the_last_clear_is_acknowledged(path: Path):
    RetainedTopics(path, "b:1").keep(["a", "b", "c"])
    record = RetainedTopics(path, "b:1")
    record.keep(["a"])
    record.cleared("b")
    assert on_disk(path) == ["a", "b", "c"]
    record.cleared("c")
    assert on_disk(path) == ["a"]
    assert record.stale() == []


def test_topic_used_again_before_its_clear_was_acknowledged_stays(path: Path):
    record = RetainedTopics(path, "b:1")
    record.keep(["a"])
    record.release("a")
    record.keep(["a"])
    record.cleared("a")
    assert record.stale() == []
    assert on_disk(path) == ["a"]


def test_brokers_are_kept_apart(path: Path):
    RetainedTopics(path, "b:1").keep(["a"])
    RetainedTopics(path, "b:2").keep(["z"])
    assert RetainedTopics(path, "b:1").stale() == ["a"]
    assert RetainedTopics(path, "b:2").stale() == ["z"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"version": 2, "brokers": {}}',
        b'{"version": 1}',
        b'{"version": 1, "brokers": []}',
        b'{"version": 1, "brokers": {"b:1": "abc"}}',
        b'{"version": 1, "brokers": {"b:1": [1]}}',
        b"[" * 100_000,
    ],
)
def test_damaged_file_is_set_aside_and_said_once(path: Path, content: bytes, said: Said):
    path.parent.mkdir()
    path.write_bytes(content)
    record = RetainedTopics(path, "b:1")
    assert record.stale() == []
    assert len(said.messages) == 1
    assert "set aside" in said.messages[0]
    assert path.with_name("retained.json.corrupt").read_bytes() == content
    record.keep(["a"])
    assert on_disk(path) == ["a"]


def test_unwritable_folder_is_said_once_and_the_record_lives_in_memory(tmp_path: Path, said: Said):
    (tmp_path / "state").write_text("a file, not a folder")
    record = RetainedTopics(tmp_path / "state" / "retained.json", "b:1")
    record.keep(["a"])
    record.keep(["b"])
    record.release("a")
    assert record.stale() == ["a"]
    assert len([message for message in said.messages if "cannot write" in message]) == 1


def test_no_write_where_nothing_changed(path: Path):
    record = RetainedTopics(path, "b:1")
    record.keep(["a"])
    path.unlink()
    record.keep(["a"])
    assert not path.exists()
