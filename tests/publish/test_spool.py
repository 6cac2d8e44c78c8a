"""The store on disk: what a commit leaves behind, against a model and against damaged files."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from spooling import HandClock

from edge.line_total import LineTotal
from edge.publish.spool import Changes, Spool
from edge.publish.spool_age import SpoolAge
from edge.publish.spool_event import OpenObject, Row, row_size
from edge.publish.spool_file import NotASpool, SpoolError, connect, open_database, set_aside
from edge.publish.spool_records import salvage

BIG = 10**9


def open_spool(path: Path, max_bytes: int = BIG, clock: HandClock | None = None) -> Spool:
    return Spool(path, max_bytes, 86400, SpoolAge("boot"), clock or HandClock())


def row(seq: int, type: str = "update", event_id: str = "a", camera: str = "dock", size: int = 400):
    return Row(camera, "session", seq, type, event_id, b"x" * (size - row_size(0)), 1000.0)


def ids_on_disk(spool: Spool, camera: str = "dock") -> list[int]:
    return [found.id for found in spool.page(camera, 0, BIG).rows]


def test_commit_is_on_disk_before_it_returns(tmp_path):
    db = open_database(tmp_path / "spool.db")
    pragmas = {
        name: db.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "locking_mode")
    }
    db.close()
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "locking_mode": "exclusive"}


def test_rows_and_what_belongs_to_them_outlive_the_process(tmp_path):
    path = tmp_path / "new" / "spool.db"
    spool = open_spool(path)
    rows = [row(1, "new"), row(2), row(1, "new", "b", "gate")]
    thing = OpenObject("a", "dock", "session", b"{}")
    gone = OpenObject("z", "dock", "session", b"{}")
    total = LineTotal("dock", "line", "person", 3, 2)
    spool.commit(Changes(rows, {"a": thing, "z": gone}, [total]), ())
    spool.commit(Changes(objects={"z": None}, acknowledged=rows[1:2]), ())
    spool._db.close()

    spool = open_spool(path)
    assert [found.seq for found in spool.page("dock", 0, 10).rows] == [1]
    assert [(f.id, f.body) for f in spool.page("gate", 0, 10).rows] == [(3, rows[2].body)]
    assert spool.cameras() == ["dock", "gate"]
    assert spool.open_objects() == [thing]
    assert spool.line_totals() == [total]
    assert (spool.messages, spool.bytes, spool.last_id) == (2, 800, 3)
    spool.close()
    assert sorted(os.listdir(path.parent)) == ["spool.db"]


def test_failed_commit_changes_nothing(tmp_path):
    spool = open_spool(tmp_path / "spool.db")
    first = row(1)
    spool.commit(Changes([first]), ())
    broken = row(2)
    broken.body = "not bytes"  # type: ignore[assignment]
    with pytest.raises((sqlite3.Error, TypeError)):
        spool.commit(Changes([row(3), broken], acknowledged=[first]), ())
    assert ids_on_disk(spool) == [1]
    assert (spool.messages, spool.bytes, spool.last_id) == (1, 400, 1)
    spool.commit(Changes([row(4)]), ())
    assert ids_on_disk(spool) == [1, 2]
    spool.close()


def test_file_takes_little_more_than_the_bound(tmp_path):
    path = tmp_path / "spool.db"
    spool = open_spool(path, max_bytes=2_000_000)
    for turn in range(100):
        spool.commit(Changes([row(turn * 50 + i, size=500 + 37 * i) for i in range(50)]), ())
    assert 1_900_000 < spool.bytes <= 2_000_000
    spool.close()
    assert path.stat().st_size < 1.3 * 2_000_000


# -- files that are no spool ----------------------------------------------------------------------


def test_second_process_is_refused_and_a_killed_one_leaves_no_lock(tmp_path):
    path = tmp_path / "spool.db"
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path\n"
            "from edge.publish.spool_file import open_database\n"
            f"db = open_database(Path({str(path)!r})); print('open', flush=True)\n"
            "sys.stdin.read()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"open\n"
    with pytest.raises(SpoolError, match=r"^spool.path: .*spool.db is in use by another process"):
        open_database(path)
    assert SpoolError.exit_code == 78
    holder.kill()
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    open_spool(path).close()


@pytest.mark.parametrize("content", [b"garbage" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_garbage_is_no_spool(tmp_path, content):
    (tmp_path / "spool.db").write_bytes(content)
    with pytest.raises(NotASpool, match="damaged"):
        open_database(tmp_path / "spool.db")


def test_empty_file_becomes_a_spool(tmp_path):
    (tmp_path / "spool.db").touch()
    open_spool(tmp_path / "spool.db").close()


def make_database(path: Path, *statements: str) -> bytes:
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()
    return path.read_bytes()


@pytest.mark.parametrize("table", ["photos", "events"])
@pytest.mark.parametrize("name", ["spool.db", "home.sqlite"])
def test_database_of_something_else_is_refused(tmp_path, name, table):
    path = tmp_path / name
    content = make_database(path, f"CREATE TABLE {table} (id)", "PRAGMA user_version = 7")
    with pytest.raises(SpoolError, match=rf"^spool.path: .*{name} is a database of something else"):
        open_database(path)
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == [name]


def test_tables_of_ours_without_the_mark_are_a_damaged_spool(tmp_path):
    path = tmp_path / "spool.db"
    open_spool(path).close()
    make_database(path, "PRAGMA application_id = 0")
    with pytest.raises(NotASpool, match="not marked"):
        open_database(path)


def test_mark_of_ours_without_the_tables_is_a_damaged_spool(tmp_path):
    path = tmp_path / "spool.db"
    open_spool(path).close()
    make_database(path, "DROP TABLE events", "DROP TABLE open_objects")
    with pytest.raises(NotASpool, match="damaged"):
        open_database(path)


@pytest.mark.parametrize("content", [b"node: dock-7\n", b"SQLite", b"\0" * 8192])
def test_file_that_is_no_database_by_name_nor_content_is_refused(tmp_path, content):
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(SpoolError, match=r"^spool.path: .*config.yaml is no database"):
        open_database(path)
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["config.yaml"]


def test_folder_is_refused(tmp_path):
    path = tmp_path / "spool.db"
    path.mkdir()
    with pytest.raises(SpoolError, match=r"^spool.path: .*spool.db is a folder"):
        open_database(path)


def test_pipe_is_refused_without_waiting_for_its_other_end(tmp_path):
    path = tmp_path / "spool"
    os.mkfifo(path)
    with pytest.raises(SpoolError, match=r"^spool.path: .*spool is no regular file"):
        open_database(path)
    assert path.is_fifo()


def test_spool_may_have_any_name(tmp_path):
    path = tmp_path / "events.queue"
    path.touch()
    spool = open_spool(path)
    spool.commit(Changes([row(1)]), ())
    spool.close()
    spool = open_spool(path)
    assert ids_on_disk(spool) == [1]
    spool.close()


def test_spool_of_a_newer_release_is_left_as_it_is(tmp_path):
    path = tmp_path / "spool.db"
    db = open_database(path)
    db.execute("PRAGMA user_version = 2")
    db.close()
    with pytest.raises(NotASpool, match="newer release") as refused:
        open_database(path)
    assert refused.value.suffix == "newer"


def test_set_aside_keeps_three_and_takes_the_log_along(tmp_path):
    path = tmp_path / "spool.db"
    for turn in range(5):
        path.write_text(f"{turn}")
        if turn in {1, 2}:
            (tmp_path / "spool.db-wal").write_text(f"wal {turn}")
        set_aside(path, "corrupt")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        "spool.db.corrupt": "0",
        "spool.db.corrupt-1": "1",
        "spool.db.corrupt-1-wal": "wal 1",
        "spool.db.corrupt-2": "4",
    }


def fill(path: Path, count: int = 2000) -> Spool:
    spool = open_spool(path)
    rows = [row(n, "new", f"e{n}", size=700) for n in range(1, count + 1)]
    things = {r.event_id: OpenObject(r.event_id, "dock", "session", r.body) for r in rows[:50]}
    spool.commit(Changes(rows, things, [LineTotal("dock", "line", "person", 3, 2)]), ())
    return spool


def overwrite(path: Path, at: float, count: int) -> None:
    """``count`` bytes from the share ``at`` of the file on."""
    with path.open("r+b") as file:
        file.seek(int(path.stat().st_size * at))
        file.write(os.urandom(count))


@pytest.mark.parametrize("at", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_damaged_row_is_noticed_and_dropped(tmp_path, at):
    """A few bytes within a row: SQLite's own structure is whole, and what it says is not."""
    path = tmp_path / "spool.db"
    fill(path).close()
    content = path.read_bytes()
    body = content.index(b"x" * 400, int(len(content) * at))
    path.write_bytes(content[: body + 100] + b"#" + content[body + 101 :])
    spool = open_spool(path)
    assert len(ids_on_disk(spool)) + len(spool.open_objects()) == 2050 - 1
    lost = spool.commit(Changes(), ())["corrupt"]
    assert len(ids_on_disk(spool)) == spool.messages == 2000 - len(lost)
    assert spool.bytes == 700 * spool.messages
    spool.close()


@pytest.mark.parametrize("pages", [1, 5])
@pytest.mark.parametrize("at", [0.1, 0.25, 0.5, 0.75, 0.95])
def test_rows_around_the_damage_are_salvaged(tmp_path, at, pages):
    path = tmp_path / "spool.db"
    fill(path).close()
    overwrite(path, at, pages * 4096)
    with pytest.raises(NotASpool, match="it is damaged"):
        open_spool(path)
    db = connect(path)
    salvaged = salvage(db, SpoolAge("boot"))
    db.close()
    assert len(salvaged.rows) >= 1900 - 20 * pages
    assert all(found.body == b"x" * (700 - row_size(0)) for found in salvaged.rows)
    ids = [found.id for found in salvaged.rows]
    assert ids == sorted(set(ids))


def test_restored_rows_keep_their_ids_unless_these_are_taken(tmp_path):
    first = fill(tmp_path / "one.db", 10)
    salvaged = first.salvage()
    first.close()
    fresh, used = open_spool(tmp_path / "two.db"), fill(tmp_path / "three.db", 5)
    fresh.restore(salvaged)
    assert ids_on_disk(fresh) == list(range(1, 11))
    assert fresh.line_totals() == [LineTotal("dock", "line", "person", 3, 2)]
    fresh.commit(Changes([row(11)]), ())
    assert fresh.last_id == 11
    used.restore(salvaged)
    assert ids_on_disk(used) == list(range(1, 16))
    assert [found.id for found in salvaged.rows] == list(range(6, 16))
    fresh.close()
    used.close()


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_log_is_synchronised_before_a_commit_returns(tmp_path):
    script = (
        "import os; from pathlib import Path\n"
        "from test_spool import open_spool, row, Changes\n"
        f"spool = open_spool(Path({str(tmp_path)!r}) / 'spool.db')\n"
        "for n in range(3):\n"
        "    spool.commit(Changes([row(n)]), ())\n"
        "    os.write(1, b'committed')\n"
    )
    strace = ["strace", "-f", "-y", "-e", "trace=fdatasync,fsync,write"]
    subprocess.run(
        [*strace, "-o", tmp_path / "trace", sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))},
        check=True,
        capture_output=True,
    )
    synced, order = False, []
    for line in (tmp_path / "trace").read_text().splitlines():
        if "sync(" in line and "spool.db-wal" in line:
            synced = True
        if '"committed"' in line:
            order.append(synced)
            synced = False
    assert order == [True, True, True]


# -- against a model ------------------------------------------------------------------------------


class SpoolAndModel(RuleBasedStateMachine):
    """Objects come and go on two cameras; the broker acknowledges what was sent, oldest first."""

    MAX_BYTES = 4000

    @initialize()
    def begin(self):
        self.folder = Path(os.environ["SPOOL_TEST_FOLDER"])
        shutil.rmtree(self.folder, ignore_errors=True)
        self.spool = open_spool(self.folder / "spool.db", self.MAX_BYTES)
        self.kept: dict[int, Row] = {}
        self.open: dict[str, OpenObject] = {}
        self.in_flight: set[int] = set()
        self.unheard: set[str] = set()  # whose `new` was dropped
        self.seq = 0

    @rule(data=st.data(), count=st.integers(0, 6))
    def commit(self, data, count):
        rows, objects = [], {}
        for _ in range(count):
            self.seq += 1
            alive = sorted(self.open)
            what = data.draw(st.sampled_from(["new", "update", "end"] if alive else ["new"]))
            name = f"e{self.seq}" if what == "new" else data.draw(st.sampled_from(alive))
            camera = "gate" if what == "new" and self.seq % 2 else "dock"
            camera = self.open[name].camera if name in self.open else camera
            one = row(self.seq, what, name, camera, data.draw(st.integers(260, 900)))
            rows.append(one)
            if what == "end":
                del self.open[name]
                objects[name] = None
            else:
                self.open[name] = objects[name] = OpenObject(name, camera, "session", one.body)
        acknowledged = [
            self.kept[id] for id in sorted(self.in_flight)[: data.draw(st.integers(0, 3))]
        ]
        dropped = self.spool.commit(Changes(rows, objects, (), acknowledged), self.in_flight)
        for one in rows:
            self.kept[one.id] = one
        for one in acknowledged:
            del self.kept[one.id]
            self.in_flight.discard(one.id)
            if one.type == "end":
                self.unheard.discard(one.event_id)
        assert dropped["age"] == dropped["corrupt"] == set()
        self.check_drops(dropped["overflow"])

    def check_drops(self, ids):
        assert not ids & self.in_flight
        gone = [self.kept.pop(id) for id in sorted(ids)]
        left = [one for id, one in self.kept.items() if id not in self.in_flight]
        begun = {one.event_id for one in [*gone, *left] if one.type == "new"}
        if any(one.type != "update" for one in gone):
            assert not any(one.type == "update" for one in left)
        alone = [one for one in gone if one.type == "end" and one.event_id not in begun]
        if any(one.event_id not in self.unheard for one in alone):  # somebody waits for it
            assert not any(one.type == "new" for one in left)
            assert not any(one.event_id in self.unheard for one in left)
        for one in gone:
            if one.type == "new":
                self.unheard.add(one.event_id)
            elif one.type == "end":
                self.unheard.discard(one.event_id)
        assert self.spool.bytes <= self.MAX_BYTES or not left
        if gone and all(one.type == "update" for one in gone):
            assert gone[-1].size + self.spool.bytes > self.MAX_BYTES

    @rule(count=st.integers(1, 4))
    def send(self, count):
        waiting = [id for id in sorted(self.kept) if id not in self.in_flight]
        self.in_flight |= set(waiting[:count])

    @rule()
    def crash(self):
        self.spool._db.close()
        self.in_flight.clear()
        self.unheard.clear()  # a new process does not know
        self.spool = open_spool(self.folder / "spool.db", self.MAX_BYTES)

    @invariant()
    def disk_is_as_the_model(self):
        if not hasattr(self, "spool"):
            return
        for camera in ("dock", "gate"):
            wanted = [
                (id, k.seq, k.body) for id, k in sorted(self.kept.items()) if k.camera == camera
            ]
            assert [(f.id, f.seq, f.body) for f in self.spool.page(camera, 0, BIG).rows] == wanted
        assert {thing.event_id: thing for thing in self.spool.open_objects()} == self.open
        assert self.spool.messages == len(self.kept)
        assert self.spool.bytes == sum(one.size for one in self.kept.values())

    def teardown(self):
        if hasattr(self, "spool"):
            self.spool.close()


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SPOOL_TEST_FOLDER", str(tmp_path / "model"))


TestSpoolAndModel = SpoolAndModel.TestCase
TestSpoolAndModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
