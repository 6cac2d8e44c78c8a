import subprocess
import sys
from pathlib import Path

import pytest

from edge.durable_file import DurableJson, replace_file, strings


def test_a_file_and_its_folders_are_made(tmp_path: Path) -> None:
    replace_file(tmp_path / "a" / "b" / "c", b"new")
    assert (tmp_path / "a" / "b" / "c").read_bytes() == b"new"


def test_a_writer_that_is_killed_leaves_the_old_content_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "file"
    sizes = 100_000, 300_000
    script = f"""
from pathlib import Path
from edge.durable_file import replace_file
while True:
    for size in {sizes}:
        replace_file(Path({str(path)!r}), b"x" * size)
        print(flush=True)
"""
    for _ in range(5):
        writer = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        for _ in range(3):
            assert writer.stdout.readline()
        writer.kill()
        writer.wait(10)
        writer.stdout.close()
        assert path.stat().st_size in sizes


def test_what_cannot_be_written_is_told_again_after_it_worked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "state"
    file = DurableJson(
        folder / "f.json", 1, "things", when_damaged="gone", when_unwritable="lost at the end"
    )
    for _ in range(2):
        folder.write_text("in the way")
        file.write({"a": 1})
        file.write({"a": 2})
        folder.unlink()
        file.write({"a": 3})
        assert file.read(lambda document: document["a"]) == 3
        (folder / "f.json").unlink()
        folder.rmdir()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert all(message.endswith("; lost at the end") for message in said)


@pytest.mark.parametrize("value", [None, "ab", [1], {"a": "b"}])
def test_only_a_list_of_strings_is_one(value: object) -> None:
    with pytest.raises(TypeError):
        strings(value)
    assert strings(["a", ""]) == ["a", ""]
