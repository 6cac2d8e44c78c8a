"""The delivery of events turn by turn, with a clock set by hand and a stand-in for the broker."""

import json
import logging
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from mosquitto import DEADLINE_S
from spooling import TOPICS, Bench, event, warnings_of

from edge.line_total import LineTotal
from edge.publish.event_store import MEMORY_BYTES
from edge.publish.outgoing import WINDOW
from edge.publish.spool_file import SpoolError


@pytest.fixture
def make_bench(tmp_path):
    benches = []

    def make(folder: Path = tmp_path, **settings):
        benches.append(Bench(folder, **settings))
        return benches[-1]

    yield make
    for bench in benches:
        bench.kill()


@pytest.fixture
def bench(make_bench):
    return make_bench()


def read(path: Path, statement: str) -> list[tuple]:
    """What is on disk, from a copy: the spool itself is locked."""
    copy = path.with_name("copy.db")
    for end in ("", "-wal"):
        if path.with_name(path.name + end).exists():
            shutil.copy(path.with_name(path.name + end), copy.with_name(copy.name + end))
    db = sqlite3.connect(copy)
    try:
        return db.execute(statement).fetchall()
    finally:
        db.close()
        copy.unlink()


# -- order, marks and rates -----------------------------------------------------------------------


def test_event_is_on_disk_before_it_is_sent_and_leaves_with_its_acknowledgement(bench):
    bench.broker.connect(1)
    bench.turn()
    on_disk = []
    publish = bench.broker.publish_event
    bench.broker.publish_event = lambda *args: (
        on_disk.append(read(bench.path, "SELECT type, event_id, seq FROM events")) or publish(*args)
    )
    bench.append(event("new", "a"))
    bench.delivery.turn(0)
    assert on_disk == [[("new", "a", 1)]]
    assert bench.broker.sent[0][0] == TOPICS.events("dock")
    assert bench.broker.told() == [("new a", 1, False)]
    bench.broker.acknowledge()
    bench.turn(count=2)
    assert read(bench.path, "SELECT id FROM events") == []
    assert (bench.value("messages"), bench.value("bytes")) == (0, 0)


def test_updates_wait_for_company_and_new_and_end_do_not(bench):
    bench.broker.connect(1)
    bench.turn()
    bench.append(event("update", "a"))
    bench.turn(seconds=0)
    bench.turn(seconds=0.15)
    assert bench.broker.told() == []
    bench.turn(seconds=0.1)
    assert bench.broker.told() == [("update a", 1, False)]
    bench.append(event("update", "a"), event("end", "a"), event("update", "b"))
    bench.turn(seconds=0)
    assert [seq for _, seq, _ in bench.broker.told()] == [1, 2, 3, 4]


def test_seq_counts_by_camera(bench):
    bench.broker.connect(1)
    bench.append(event("new", "a"), event("new", "b", "gate"), event("end", "a"))
    bench.turn()
    assert bench.broker.told("dock") == [("new a", 1, False), ("end a", 2, False)]
    assert bench.broker.told("gate") == [("new b", 1, False)]


def test_what_was_committed_without_a_broker_is_replayed_in_front_of_live_events(bench):
    bench.append(event("new", "a"))
    bench.turn()
    bench.broker.connect(1)
    bench.turn()
    bench.append(event("end", "a"))
    bench.turn()
    assert bench.broker.told() == [("new a", 1, True), ("end a", 2, False)]


def test_replayed_differs_in_that_word_alone(bench):
    bench.broker.connect(1)
    bench.append(event("new", "a"))
    bench.turn()
    bench.broker.connect(2)
    bench.turn()
    (_, first), (_, second) = bench.broker.sent
    assert second == first | {"replayed": True}
    assert list(second)[-1] == "replayed"


def test_unacknowledged_events_are_sent_again_and_acknowledged_ones_are_not(bench):
    bench.broker.connect(1)
    bench.append(event("new", "a"), event("update", "a"), event("end", "a"))
    bench.turn()
    bench.broker.acknowledge(1)
    bench.broker.connect(2)
    bench.turn()
    assert bench.broker.told()[3:] == [("update a", 2, True), ("end a", 3, True)]


def test_older_sessions_come_first_and_cameras_that_are_gone_too(bench):
    bench.append(event("new", "a"), event("new", "old", "removed"))
    bench.turn()
    bench.restart()
    bench.append(event("new", "b"))
    bench.turn()
    bench.broker.connect(1)
    bench.turn()
    assert bench.broker.told("dock") == [("new a", 1, True), ("new b", 1, True)]
    assert bench.broker.told("removed") == [("new old", 1, True)]


def test_backlog_goes_in_turns_at_its_rate_and_live_events_of_others_at_once(make_bench):
    bench = make_bench(replay_rate=16)
    for n in range(30):
        bench.append(event("new", f"a{n}"), event("new", f"b{n}", "gate"))
    bench.turn()
    bench.broker.connect(1)
    sent = []
    for _ in range(40):
        bench.append(event("new", "live", "yard"), event("new", "behind"))
        bench.turn(seconds=0.0625)
        bench.broker.acknowledge()
        sent.append(len([1 for _, _, replayed in bench.broker.told() if replayed]))
        assert bench.broker.told("yard")[-1] == ("new live", len(sent), False)
    assert sent == [*range(1, 41)]
    assert [name for name, _, replayed in bench.broker.told() if replayed] == [
        f"new {camera}{n}" for n in range(20) for camera in "ab"
    ]
    bench.turn(count=12)
    bench.broker.acknowledge()
    bench.turn(count=12)
    told = bench.broker.told("dock")
    assert [name for name, _, _ in told] == [f"new a{n}" for n in range(30)] + ["new behind"] * 40
    assert [seq for _, seq, _ in told] == [*range(1, 71)]
    assert [replayed for _, _, replayed in told] == [True] * 30 + [False] * 40


def test_only_so_many_are_unacknowledged_at_a_time(make_bench):
    bench = make_bench(replay_rate=1e6)
    for n in range(500):
        bench.append(event("new", f"a{n}"))
    bench.turn()
    bench.broker.connect(1)
    bench.turn(count=3)
    backlog = len(bench.broker.sent)
    assert 0 < backlog <= WINDOW
    for n in range(500):
        bench.append(event("new", f"b{n}", "gate"))
    bench.turn(count=3)
    assert len(bench.broker.sent) == WINDOW
    assert len(bench.broker.told("gate")) == WINDOW - backlog
    while bench.value("messages"):
        bench.broker.acknowledge(7)
        bench.turn()
    for camera in ("dock", "gate"):
        assert [seq for _, seq, _ in bench.broker.told(camera)] == [*range(1, 501)]


def test_publisher_that_has_no_room_is_asked_again(bench):
    bench.broker.connect(1)
    bench.broker.room = 2
    for n in range(5):
        bench.append(event("new", f"a{n}"))
    bench.turn(count=3)
    assert len(bench.broker.sent) == 2
    bench.broker.room = 100
    bench.turn()
    assert [seq for _, seq, _ in bench.broker.told()] == [1, 2, 3, 4, 5]


# -- what it remembers ----------------------------------------------------------------------------


def test_open_objects_and_line_totals_outlive_the_process(bench):
    totals = tuple(LineTotal("dock", "line", "person", n, 1) for n in (1, 2))
    bench.append(
        event("new", "a"),
        event("update", "a", totals=totals[:1]),
        event("new", "b", "gate"),
        event("new", "c"),
        event("end", "c", totals=totals[1:]),
    )
    bench.turn()
    delivery = bench.restart()
    a, b = delivery.left_open()
    assert (a.event_id, a.camera, a.session) == ("a", "dock", "session1")
    assert (json.loads(a.body)["type"], json.loads(a.body)["seq"]) == ("update", 2)
    assert (b.event_id, b.camera) == ("b", "gate")
    assert delivery.line_totals() == [LineTotal("dock", "line", "person", 2, 1)]
    bench.append(event("end", "a"))
    bench.turn()
    assert [thing.event_id for thing in bench.restart().left_open()] == ["b"]


def test_acknowledged_event_is_not_forgotten_before_its_deletion_is_written(bench):
    """The object stays open although its `new` has long left the spool."""
    bench.broker.connect(1)
    bench.append(event("new", "a"))
    bench.turn()
    bench.broker.acknowledge()
    bench.turn(count=2)
    assert [thing.event_id for thing in bench.restart().left_open()] == ["a"]
    bench.broker.sent.clear()
    bench.broker.connect(2)
    bench.turn()
    assert bench.broker.told() == []


# -- bounds ---------------------------------------------------------------------------------------


def test_overflow_drops_oldest_updates_and_leaves_a_gap(make_bench):
    bench = make_bench(max_bytes=5000)
    bench.append(event("new", "a"))
    for _ in range(20):
        bench.append(event("update", "a"))
        bench.turn()
    bench.append(event("end", "a"))
    bench.turn()
    assert bench.value("bytes") <= 5000
    bench.broker.connect(1)
    bench.turn(count=5)
    seqs = [seq for _, seq, _ in bench.broker.told()]
    dropped = bench.dropped()["overflow"]
    assert dropped > 0
    assert seqs == [1, *range(2 + int(dropped), 23)]


def drops_told(caplog) -> list[str]:
    return [text for text in warnings_of(caplog) if "dropped" in text]


def test_drops_are_told_at_once_and_then_by_the_minute(make_bench, caplog):
    bench = make_bench(max_bytes=10_000)
    why = "dropped since the spool is full (spool.max_bytes)"
    while not bench.dropped():
        bench.append(event("update", "a", pad=500))
        bench.turn()
    assert drops_told(caplog) == [f"1 event was {why}"]
    bench.append(*(event("update", "a", pad=500) for _ in range(78)))
    bench.turn()
    assert bench.dropped() == {"overflow": 79}
    bench.turn(seconds=58)
    assert drops_told(caplog)[1:] == []
    bench.turn(seconds=2)
    assert drops_told(caplog)[1:] == [f"78 events were {why}"]
    bench.turn(seconds=120)
    assert drops_told(caplog)[2:] == []
    bench.append(event("update", "a", pad=500))
    bench.turn()
    bench.append(event("update", "a", pad=500))
    bench.turn()
    bench.delivery.stop(0)
    assert drops_told(caplog)[2:] == [f"1 event was {why}"] * 2


def test_drops_of_each_reason_are_told(make_bench, caplog):
    bench = make_bench(max_age_s=60)
    bench.append(event("new", "a"))
    bench.turn()
    bench.turn(seconds=61)
    assert drops_told(caplog) == [
        "1 event was dropped since the broker was away for too long (spool.max_age_s)"
    ]
    bench.append(event("new", "b", pad=MEMORY_BYTES))
    assert drops_told(caplog)[1:] == [
        "1 event was dropped since memory is full of events that are on no disk"
    ]


def test_row_in_flight_is_not_dropped(make_bench):
    bench = make_bench(max_bytes=3000)
    bench.broker.connect(1)
    bench.append(event("update", "a"))
    bench.turn()
    bench.broker.room = 0
    for n in range(20):
        bench.append(event("update", f"b{n}"))
    bench.turn()
    assert bench.dropped()["overflow"] > 10
    bench.broker.connect(2)
    bench.broker.room = 100
    bench.turn()
    seqs = [seq for _, seq, _ in bench.broker.told()]
    assert seqs[:2] == [1, 1]
    assert seqs[2:] == [*range(22 - len(seqs[2:]), 22)]


def test_memory_is_bounded_where_the_thread_does_not_keep_up(bench):
    bench.append(event("new", "a", pad=1000))
    for _ in range(5000):
        bench.append(event("update", "a", pad=1000))
    bench.append(event("end", "a", pad=1000))
    memory = bench.delivery._store.unspooled
    assert 0.99 * MEMORY_BYTES < memory.bytes <= MEMORY_BYTES
    assert bench.dropped() == {"memory": 5002 - len(memory)}
    bench.broker.connect(1)
    while bench.turn() or bench.broker.acknowledge() or bench.value("messages"):
        pass
    seqs = [seq for _, seq, _ in bench.broker.told()]
    assert seqs == [1, *range(5002 - len(seqs) + 2, 5003)]


# -- faults of the disk ---------------------------------------------------------------------------


@pytest.fixture
def full_disk(tmp_path):
    """Call it, and no file can grow; call it with False, and they can again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(full: bool = True) -> None:
        sizes = [file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()]
        limit = max(sizes, default=0) if full else soft
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))

    yield fill
    fill(False)


def settle(bench, count=30):
    """Enough turns for the disk to be tried again."""
    for _ in range(count):
        bench.turn()
        bench.broker.acknowledge()


def test_full_disk_delays_nothing_and_loses_nothing_but_in_a_crash(bench, full_disk, caplog):
    bench.broker.connect(1)
    bench.append(event("new", "a"))
    bench.turn()
    full_disk()
    for n in range(50):
        bench.append(event("new", f"b{n}", pad=2000))
        bench.turn(seconds=0.01)
        bench.broker.acknowledge()
    assert [seq for _, seq, _ in bench.broker.told()] == [*range(1, 52)]
    bench.append(event("end", "a"))
    bench.broker.connect(0)
    bench.turn()
    bench.append(event("new", "c"))
    settle(bench)
    full_disk(False)
    settle(bench)
    assert read(bench.path, "SELECT seq FROM events ORDER BY id") == [(52,), (53,)]
    opened = [name for (name,) in read(bench.path, "SELECT event_id FROM open_objects")]
    assert sorted(opened) == sorted([f"b{n}" for n in range(50)] + ["c"])
    bench.broker.connect(2)
    settle(bench)
    assert bench.broker.told()[51:] == [("end a", 52, True), ("new c", 53, True)]
    assert bench.value("messages") == 0
    assert bench.dropped() == {}
    said = warnings_of(caplog)
    assert ["kept in memory" in text for text in said] == [True, False]
    assert "events are written to" in said[1]
    assert bench.value("faults_total", kind="disk") >= 2


def test_backlog_on_a_full_disk_is_sent_in_front_and_once(bench, full_disk):
    for n in range(30):
        bench.append(event("new", f"a{n}", pad=2000))
    bench.turn()
    full_disk()
    for n in range(30):
        bench.append(event("new", f"b{n}", pad=2000))
    bench.turn()
    bench.broker.connect(1)
    settle(bench)
    assert [seq for _, seq, _ in bench.broker.told()] == [*range(1, 61)]
    bench.broker.connect(2)
    settle(bench)
    assert len(bench.broker.sent) == 60
    full_disk(False)
    settle(bench)
    assert read(bench.path, "SELECT count(*) FROM events") == [(0,)]


def test_what_waited_in_memory_without_a_broker_is_replayed(bench, full_disk):
    bench.append(event("new", "a"))
    bench.turn()
    full_disk()
    for n in range(50):
        bench.append(event("new", f"b{n}", pad=2000))
    bench.turn()
    bench.broker.room = 0
    bench.broker.connect(1)
    bench.turn()
    full_disk(False)
    settle(bench)
    bench.broker.room = 100
    bench.append(event("new", "live"))
    settle(bench)
    assert [(seq, replayed) for _, seq, replayed in bench.broker.told()] == [
        *((seq, True) for seq in range(1, 52)),
        (52, False),
    ]


def test_event_sent_from_memory_is_not_dropped_when_it_reaches_the_disk(make_bench, full_disk):
    bench = make_bench(max_bytes=3000)
    bench.broker.connect(1)
    bench.turn()
    full_disk()
    bench.append(event("update", "a", pad=300))
    bench.turn()
    bench.broker.room = 0
    for n in range(20):
        bench.append(event("update", f"b{n}"))
    full_disk(False)
    bench.turn(count=30)
    assert bench.dropped()["overflow"] > 10
    bench.broker.room = 100
    bench.broker.connect(2)
    bench.turn()
    assert [name for name, _, _ in bench.broker.told()][:2] == ["update a"] * 2


def test_memory_is_bounded_while_the_disk_is_full(bench, full_disk):
    bench.append(event("new", "a"))
    bench.turn()
    full_disk()
    for n in range(3000):
        bench.append(event("new", f"b{n}", pad=2000), event("end", f"b{n}", pad=2000))
        bench.turn(seconds=0.001) if n % 50 == 0 else None
    assert bench.delivery._store.unspooled.bytes <= MEMORY_BYTES
    dropped = bench.dropped()["memory"]
    assert dropped % 2 == 0
    full_disk(False)
    bench.broker.connect(1)
    settle(bench, 300)
    told = [name for name, _, _ in bench.broker.told()]
    assert told[0] == "new a"
    assert len(told) == 6001 - dropped
    assert told[1:] == [
        f"{type} b{n}" for n in range(int(dropped / 2), 3000) for type in ("new", "end")
    ]


def test_folder_that_cannot_be_made_is_told_and_found_later(make_bench, tmp_path, caplog):
    (tmp_path / "state").write_text("a file where the folder should be")
    bench = make_bench(tmp_path / "state")
    assert bench.delivery.left_open() == []
    bench.broker.connect(1)
    bench.turn()
    bench.append(event("new", "a"))
    bench.turn()
    assert bench.broker.told() == [("new a", 1, False)]
    (tmp_path / "state").unlink()
    settle(bench)
    bench.append(event("end", "a"), event("new", "b"))
    settle(bench)
    assert bench.broker.told() == [("new a", 1, False), ("end a", 2, False), ("new b", 3, False)]
    assert ["kept in memory" in text for text in warnings_of(caplog)] == [True, False]
    assert [thing.event_id for thing in bench.restart().left_open()] == ["b"]


def test_backlog_of_a_disk_that_comes_late_is_replayed(make_bench, tmp_path):
    folder = tmp_path / "state"
    first = make_bench(folder)
    first.append(event("new", "old"))
    first.turn()
    first.kill()
    folder.rename(tmp_path / "elsewhere")
    folder.write_text("not mounted")
    late = make_bench(folder)
    late.sessions = 9
    late.start()
    late.broker.connect(1)
    late.turn()
    late.append(event("new", "a"))
    late.turn()
    late.append(event("new", "b"))
    folder.unlink()
    (tmp_path / "elsewhere").rename(folder)
    settle(late)
    late.append(event("new", "c"))
    settle(late)
    assert late.broker.told() == [
        ("new a", 1, False),
        ("new b", 2, False),
        ("new old", 1, True),
        ("new c", 3, False),
    ]
    assert late.value("messages") == 0


def test_second_daemon_is_refused(bench, make_bench):
    with pytest.raises(SpoolError, match="in use by another process"):
        make_bench()


UNSHARE = ["unshare", "--map-root-user", "--mount"]


@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run([*UNSHARE, "true"], check=False).returncode,
    reason="no mount namespaces here",
)
def test_disk_that_the_spool_itself_has_filled_is_made_use_of_again(tmp_path):
    """It cannot even write down there what is delivered; in the end it makes its own room."""
    script = Path(__file__).with_name("full_disk.py")
    ran = subprocess.run(
        [*UNSHARE, sys.executable, script, tmp_path],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))},
        check=True,
        capture_output=True,
    )
    found = json.loads(ran.stdout)
    assert 100 < found.pop("on_disk") < 1400
    assert found == {"failed": True, "seqs": [*range(1, 1502)], "waiting": 0, "open": ["late"]}


# -- damaged files --------------------------------------------------------------------------------


def fill(bench, count=400):
    for n in range(count):
        bench.append(event("new", f"a{n}", pad=500))
    bench.append(event("update", "a0", totals=(LineTotal("dock", "line", "cat", 1, 0),)))
    bench.turn()


def overwrite(path: Path, at: float, count: int = 4096) -> None:
    with path.open("r+b") as file:
        file.seek(int(path.stat().st_size * at) // 4096 * 4096)
        file.write(os.urandom(count))


def test_database_of_something_else_stops_the_start_and_stays(make_bench, tmp_path):
    path = tmp_path / "spool.db"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE photos (id)")
    db.close()
    content = path.read_bytes()
    with pytest.raises(SpoolError, match=r"^spool.path: .*spool.db is a database of something"):
        make_bench()
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["spool.db"]


def test_garbage_is_set_aside(make_bench, tmp_path, caplog):
    path = tmp_path / "spool.db"
    path.write_bytes(b"garbage" * 999)
    bench = make_bench()
    assert (tmp_path / "spool.db.corrupt").read_bytes() == b"garbage" * 999
    bench.append(event("new", "a"))
    bench.broker.connect(1)
    settle(bench)
    assert bench.broker.told() == [("new a", 1, False)]
    (said,) = warnings_of(caplog)
    assert str(path) in said
    assert "spool.db.corrupt" in said
    assert bench.value("faults_total", kind="corrupt") == 1


def test_spool_of_a_newer_release_is_set_aside_whole(bench, caplog):
    bench.append(event("new", "a"))
    bench.turn()
    bench.kill()
    db = sqlite3.connect(bench.path)
    db.execute("PRAGMA user_version = 7")
    db.close()
    assert bench.restart().left_open() == []
    db = sqlite3.connect(bench.path.with_name("spool.db.newer"))
    assert db.execute("SELECT seq FROM events").fetchall() == [(1,)]
    db.close()
    assert "newer release" in warnings_of(caplog)[0]


def test_damage_found_at_the_start_costs_what_it_hit(bench, caplog):
    fill(bench)
    bench.delivery.stop(0)
    overwrite(bench.path, 0.5)
    delivery = bench.restart()
    assert 350 < len(delivery.left_open()) <= 400
    bench.broker.connect(1)
    settle(bench, 60)
    seqs = [seq for _, seq, _ in bench.broker.told()]
    assert 380 < len(seqs) <= 401
    assert seqs == sorted(set(seqs))
    assert bench.path.with_name("spool.db.corrupt").exists()
    assert len(warnings_of(caplog)) == 1


@pytest.mark.parametrize("at", [0.2, 0.5, 0.8])
def test_damage_while_running_costs_no_more_than_what_only_the_file_knew(bench, at, caplog):
    fill(bench)
    bench.broker.connect(1)
    bench.turn()
    sent = [seq for _, seq, _ in bench.broker.told()]
    bench.broker.acknowledge(5)
    bench.turn(seconds=0)
    store = bench.delivery._store
    store._spool._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    overwrite(bench.path, at, 3 * 4096)
    store._spool._db.execute("PRAGMA cache_size = 0")  # as if it had been read long ago
    bench.append(event("end", "a0"))
    settle(bench, 80)
    seqs = [seq for _, seq, _ in bench.broker.told()]
    assert seqs[: len(sent)] == sent
    assert seqs == sorted(set(seqs))
    assert seqs[-1] == 402
    assert bench.value("messages") == 0
    assert len(seqs) + bench.dropped().get("corrupt", 0) == 402
    assert len(seqs) > 350
    if bench.path.with_name("spool.db.corrupt").exists():
        delivery = bench.restart()
        assert [t.event_id for t in delivery.left_open()] == sorted(f"a{n}" for n in range(1, 400))
        assert delivery.line_totals() == [LineTotal("dock", "line", "cat", 1, 0)]


def test_folder_in_the_place_of_the_file_is_a_disk_that_fails(bench, caplog):
    fill(bench, 5)
    bench.path.rename(bench.path.with_name("taken.db"))
    bench.path.mkdir()
    bench.broker.connect(1)
    bench.append(event("end", "a0"))
    settle(bench, 40)
    assert ("end a0", 7, False) in bench.broker.told()
    assert bench.delivery._store.failing
    assert bench.path.is_dir()
    assert list(bench.path.parent.glob("*corrupt*")) == []
    assert "is a folder" in warnings_of(caplog)[1]
    bench.append(event("new", "b"))
    bench.path.rmdir()
    settle(bench, 40)
    assert not bench.delivery._store.failing
    assert {seq for _, seq, _ in bench.broker.told()} == {*range(1, 9)}
    assert bench.dropped() == {}
    assert [thing.event_id for thing in bench.restart().left_open()] == [
        "a1",
        "a2",
        "a3",
        "a4",
        "b",
    ]


def test_damaged_file_is_set_aside_only_while_it_is_at_the_path(bench):
    """What came in its place within the second belongs to somebody else."""
    fill(bench, 5)
    bench.path.rename(bench.path.with_name("taken.db"))
    bench.path.mkdir()
    store = bench.delivery._store
    store._fault(sqlite3.DatabaseError("database disk image is malformed"))
    assert store.failing
    assert bench.path.is_dir()
    assert list(bench.path.parent.glob("*corrupt*")) == []


def test_file_that_is_taken_away_while_running_is_written_anew(bench, caplog):
    fill(bench, 50)
    bench.broker.connect(1)
    bench.turn()
    bench.path.rename(bench.path.with_name("taken.db"))
    bench.append(event("end", "a0"))
    settle(bench, 40)
    assert [seq for _, seq, _ in bench.broker.told()] == [*range(1, 53)]
    assert bench.dropped() == {}
    assert "removed or replaced" in warnings_of(caplog)[0]
    assert [thing.event_id for thing in bench.restart().left_open()] == sorted(
        f"a{n}" for n in range(1, 50)
    )


def test_acknowledged_events_are_not_carried_over_to_a_new_file(make_bench):
    bench = make_bench(replay_rate=1e6)
    fill(bench, 30)
    bench.broker.connect(1)
    bench.turn()
    bench.broker.acknowledge(20)
    bench.turn(seconds=0)
    bench.path.unlink()
    bench.clock.move(1.5)
    sent = len(bench.broker.sent)
    bench.broker.connect(2)
    settle(bench, 40)
    assert [seq for _, seq, _ in bench.broker.told()][sent:] == [*range(21, 32)]
    assert bench.value("messages") == 0


# -- stopping, and the thread ---------------------------------------------------------------------


def test_stop_without_a_broker_leaves_everything_on_disk(bench):
    bench.append(event("new", "a"), event("update", "a"))
    bench.delivery.stop(timeout_s=60)
    assert sorted(os.listdir(bench.path.parent)) == ["spool.db"]
    assert read(bench.path, "SELECT seq FROM events ORDER BY id") == [(1,), (2,)]


def test_stop_tells_how_many_events_stay(bench, caplog):
    caplog.set_level(logging.INFO)
    bench.append(*(event("new", f"a{n}") for n in range(168)))
    bench.delivery.stop(timeout_s=0)
    assert caplog.messages == ["168 events stay in the spool for the next start"]
    caplog.clear()
    bench.restart()
    bench.broker.connect(1)
    settle(bench, 40)
    bench.delivery.stop(timeout_s=0)
    assert caplog.messages == []


def test_thread_delivers_what_comes_before_stop(bench):
    bench.broker.connect(1)
    thread = threading.Thread(target=bench.delivery.run)
    thread.start()
    publish = bench.broker.publish_event

    def publish_and_acknowledge(topic, payload, on_ack):
        taken = publish(topic, payload, on_ack)
        threading.Timer(0.01, on_ack).start()
        return taken

    bench.broker.publish_event = publish_and_acknowledge
    for n in range(5):
        bench.append(event("new", f"a{n}"))
    bench.delivery.stop(timeout_s=DEADLINE_S)
    thread.join(DEADLINE_S)
    assert not thread.is_alive()
    assert [seq for _, seq, _ in bench.broker.told()] == [1, 2, 3, 4, 5]
    assert read(bench.path, "SELECT count(*) FROM events") == [(0,)]


def test_every_turn_shows_progress(bench):
    before_s = bench.delivery.turned_uptime_s
    bench.turn(seconds=3)
    assert bench.delivery.turned_uptime_s == before_s + 3


# -- anything in any order ------------------------------------------------------------------------


class AnyOrder(RuleBasedStateMachine):
    """Connections, crashes, full disks: all arrives in order but what a crash found in memory."""

    @initialize()
    def begin(self):
        folder = Path(os.environ["DELIVERY_TEST_FOLDER"])
        shutil.rmtree(folder, ignore_errors=True)
        self.bench = Bench(folder, replay_rate=1e6)
        self.appended = {"dock": [], "gate": []}
        self.at_risk = set()  # not known to be on disk
        self.lost = set()
        self.connections = 0
        self.full = False

    @rule(camera=st.sampled_from(["dock", "gate"]), type=st.sampled_from(["new", "update", "end"]))
    def append(self, camera, type):
        name = f"{camera}-{len(self.appended[camera])}"
        self.bench.append(event(type, name, camera, pad=1000))
        self.appended[camera].append(f"{type} {name}")
        self.at_risk.add(f"{type} {name}")

    @rule(seconds=st.sampled_from([0.0, 0.25, 6.0]))
    def turn(self, seconds):
        self.bench.turn(seconds=seconds)
        if seconds and not self.bench.delivery._store.failing:
            self.at_risk.clear()

    @rule(count=st.integers(1, 5))
    def acknowledge(self, count):
        self.bench.broker.acknowledge(count)

    @rule(connected=st.booleans())
    def connect(self, connected):
        self.connections += 1
        self.bench.broker.connect(self.connections if connected else 0)

    @rule()
    def crash(self):
        self.lost |= self.at_risk
        self.at_risk.clear()
        self.bench.restart()

    @rule()
    def disk(self):
        self.full = not self.full
        limit = 30_000 if self.full else resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def teardown(self):
        if not hasattr(self, "bench"):
            return
        if self.full:
            self.disk()
        bench = self.bench
        bench.turn(count=25)
        bench.broker.connect(self.connections + 1)
        for _ in range(1000):
            bench.turn()
            bench.broker.acknowledge()
        assert bench.value("messages") == 0
        assert bench.dropped() == {}
        bench.kill()
        for camera, appended in self.appended.items():
            arrived = list(dict.fromkeys(name for name, _, _ in bench.broker.told(camera)))
            assert arrived == [name for name in appended if name in set(arrived)]
            assert set(appended) - set(arrived) <= self.lost


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DELIVERY_TEST_FOLDER", str(tmp_path / "any-order"))


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
