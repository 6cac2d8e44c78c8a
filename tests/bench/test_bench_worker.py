"""A side of a comparison as a process: what it answers, and what is said when it does not."""

import sys

import pytest

from edge.bench.opponents import FOLDER
from edge.bench.worker import Worker, WorkerDied

SCRIPT = """\
import os, sys
sys.path.insert(0, {folder!r})
from worker_loop import serve

class Side:
    versions = {{"stand-in": "1"}}

    def __init__(self, settings):
        print("a library that prints while it loads")
        self.fail_at, self.turns = settings.get("fail_at", 99), 0
        if settings.get("missing"):
            import no_such_package

    def run(self, constructed):
        os.write(1, b"and one that writes past Python\\n")
        self.turns += 1
        if self.turns > self.fail_at:
            print("out of patience", file=sys.stderr)
            os._exit(3)
        return (1.0, 0.0 if constructed else 2.0, 3.0, 6.0), 20

serve(Side)
"""


@pytest.fixture
def command(tmp_path):
    script = tmp_path / "side.py"
    script.write_text(SCRIPT.format(folder=str(FOLDER)))
    return [sys.executable, str(script)]


def test_answers_are_columns_of_each_turn(command):
    with Worker("stand-in", command, {}) as worker:
        ready = worker.ready()
        assert ready.versions == {"stand-in": "1"}
        assert ready.rss_mib > 1
        frames, objects = worker.run("frames", 3), worker.run("objects", 1)
    assert frames.preprocess == [1.0] * 3
    assert frames.forward == [2.0] * 3
    assert frames.whole == [6.0] * 3
    assert frames.found == 20
    assert objects.forward == [0.0]


def test_what_a_dead_worker_said_last_is_told(command):
    with Worker("stand-in", command, {"fail_at": 7}) as worker:
        worker.ready()
        with pytest.raises(WorkerDied, match=r"^stand-in ended with 3: out of patience$"):
            worker.run("frames", 3)


def test_a_worker_that_cannot_load_says_why(command):
    with (
        Worker("stand-in", command, {"missing": True}) as worker,
        pytest.raises(WorkerDied, match="No module named 'no_such_package'"),
    ):
        worker.ready()


def test_a_killed_worker_is_told_from_one_that_ended():
    command = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    with (
        Worker("stand-in", command, {}) as worker,
        pytest.raises(WorkerDied, match="was killed by signal 9: nothing on stderr"),
    ):
        worker.ready()


def test_a_command_to_a_worker_that_has_gone(command):
    with Worker("stand-in", command, {"fail_at": 6}) as worker:
        worker.ready()
        with pytest.raises(WorkerDied, match="out of patience"):
            worker.run("frames", 1)
        with pytest.raises(WorkerDied, match="out of patience"):
            worker.run("frames", 1)
