"""Two daemons on one state folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from edge.state_lock import StateFolderInUse, state_folder_locked


def test_the_second_is_refused_in_one_sentence_until_the_first_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    with state_folder_locked(folder):
        with (
            pytest.raises(StateFolderInUse, match=rf"^state_dir: {folder} is in use"),
            state_folder_locked(folder),
        ):
            pass
        with state_folder_locked(tmp_path / "other"):
            pass
    with state_folder_locked(folder):
        pass


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from edge.state_lock import *\n"
        "with state_folder_locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(StateFolderInUse), state_folder_locked(tmp_path):
            pass
        process.kill()
        process.wait()
        with state_folder_locked(tmp_path):
            pass


def test_a_folder_that_cannot_be_made_is_not_locked(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with state_folder_locked(tmp_path / "file" / "state"):
        pass
