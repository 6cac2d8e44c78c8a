"""The disk spool: events from their commit to the broker's acknowledgement, in SQLite."""

import logging
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from edge.clock import Clock, Timestamp
from edge.line_total import LineTotal
from edge.publish.overflow import choose_objects, choose_updates, note_dropped
from edge.publish.spool_age import SpoolAge
from edge.publish.spool_event import OpenObject, Row, row_size
from edge.publish.spool_file import NotASpool, is_damage, open_database
from edge.publish.spool_records import (
    EVENT_COLUMNS,
    Salvaged,
    event_record,
    read_event,
    read_moment,
    read_objects,
    read_totals,
    readable,
    salvage,
    write_moment,
    write_object,
    write_total,
)

log = logging.getLogger(__name__)

_MOMENT_EVERY_S = 10.0  # each time costs a page of the disk's wear
_SLACK = 64  # where whole objects go, a 64th of the bound more: the search reads everything


class _Stored(NamedTuple):
    """What the choice of what to drop needs to know of an event on disk."""

    id: int
    type: str
    event_id: str
    size: int


class Page(NamedTuple):
    """Some events of one camera. Damaged ones are passed over; ``last_id`` counts them too."""

    rows: list[Row]
    last_id: int
    more: bool


@dataclass
class Changes:
    """What one transaction is to write.

    ``objects`` maps the ids of objects to what is open, None where it ended; ``acknowledged`` are
    rows of this spool that nobody needs any more.
    """

    rows: Collection[Row] = ()
    objects: Mapping[str, OpenObject | None] = field(default_factory=dict)
    totals: Collection[LineTotal] = ()
    acknowledged: Collection[Row] = ()


class Spool:
    """One spool file, open and locked. Belongs to one thread; nothing here waits but for the disk.

    ``messages`` and ``bytes`` tell what is in it, bytes as the bound counts them. Methods raise
    ``sqlite3.Error``, and then nothing has changed. Damaged rows are passed over, and dropped by
    the next commit.
    """

    def __init__(
        self,
        path: Path,
        max_bytes: int,
        max_age_s: float,
        age: SpoolAge,
        clock: Clock,
        unheard: set[str] | None = None,
    ) -> None:
        """``unheard``: objects whose ``new`` was dropped, kept up to date here.

        Raises what ``open_database`` raises.
        """
        self._db = open_database(path)
        self._max_bytes, self._max_age_s = max_bytes, max_age_s
        self._age, self._clock = age, clock
        self._unheard = set() if unheard is None else unheard
        self._moment_due_s = clock.uptime_s()
        self._no_update_before = 0  # an id: so the search for the oldest stays short
        self.messages = self.bytes = 0
        self.last_id = 0
        self._damaged: set[int] = set()
        try:
            newest = self._db.execute("SELECT id, at_s FROM events ORDER BY id DESC LIMIT 1")
            self.last_id, last_event_s = newest.fetchone() or (0, 0.0)
            moment = read_moment(self._db.execute)
            if moment is not None:
                age.go_on_from(moment, self.last_id, last_event_s)
            self._measure()  # reads all of it but the longer bodies: most damage shows here
        except BaseException as error:
            self._db.close()
            if isinstance(error, sqlite3.Error) and is_damage(error):
                raise NotASpool(f"it is damaged: {error}") from error
            raise

    # -- writing --------------------------------------------------------------------------------

    def commit(self, changes: Changes, in_flight: Collection[int]) -> dict[str, set[int]]:
        """Write ``changes`` in one transaction, and drop what is too old or too much.

        On return all of it is on the disk, and each of ``rows`` has its id. Returns the ids of the
        dropped by reason; rows ``in_flight`` are spared.
        """
        now = self._clock.now()
        self._add_time_off(now)
        ids = range(self.last_id + 1, self.last_id + 1 + len(changes.rows))
        spared = {
            *in_flight,
            *(id for id, row in zip(ids, changes.rows, strict=True) if row.claimed),
        }
        with self._transaction():
            for row in changes.acknowledged:
                self._delete(row.id, row.size)
                if row.type == "end":
                    self._unheard.discard(row.event_id)
            for id, row in zip(ids, changes.rows, strict=True):
                self._insert(id, row)
            for event_id, thing in changes.objects.items():
                if thing is None:
                    self._db.execute("DELETE FROM open_objects WHERE event_id = ?", (event_id,))
                else:
                    write_object(self._db, thing)
            for total in changes.totals:
                write_total(self._db, total)
            dropped = {
                "corrupt": self._drop_damaged(),
                "age": self._drop_old(now, spared),
                "overflow": self._drop_overflow(spared),
            }
            moment = None
            if self.messages and now.uptime_s >= self._moment_due_s:
                moment = self._age.moment(now)
                write_moment(self._db, moment)
        for id, row in zip(ids, changes.rows, strict=True):
            row.id = id
        self.last_id += len(changes.rows)
        self._damaged -= dropped["corrupt"]
        if moment is not None:
            self._age.written(moment)
            self._moment_due_s = now.uptime_s + _MOMENT_EVERY_S
        return dropped

    def restore(self, salvaged: Salvaged) -> None:
        """Take over what another file held, in one transaction.

        Events keep their ids, but for those behind events that this file has already.
        """
        shift = self.last_id if self.messages else 0
        rows = sorted((row.id + shift, row) for row in salvaged.rows if row.id is not None)
        with self._transaction():
            for id, row in rows:
                self._insert(id, row)
            for thing in salvaged.objects:
                write_object(self._db, thing)
            for total in salvaged.totals:
                write_total(self._db, total)
        for id, row in rows:
            row.id = id
            self.last_id = max(self.last_id, id)
        self._no_update_before = 0

    def checkpoint(self) -> None:
        """Bring everything into the one file, where the disk lets us: a full one has room then."""
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            log.debug("no checkpoint of the spool: %s", error)

    def close(self) -> None:
        self.checkpoint()
        self._db.close()

    # -- reading --------------------------------------------------------------------------------

    def page(self, camera: str, after_id: int, limit: int) -> Page:
        """The next events of a camera, oldest first."""
        records = self._db.execute(
            f"SELECT {EVENT_COLUMNS} FROM events WHERE camera = ? AND id > ? ORDER BY id LIMIT ?",
            (camera, after_id, limit),
        ).fetchall()
        rows = list(readable(records, lambda record: read_event(record, self._age)))
        ids = {record[0] for record in records}
        self._damaged |= ids - {row.id for row in rows}
        return Page(rows, max(ids, default=after_id), len(records) == limit)

    def cameras(self) -> list[str]:
        """The cameras that have events here."""
        return [camera for (camera,) in self._db.execute("SELECT DISTINCT camera FROM events")]

    def open_objects(self) -> list[OpenObject]:
        return read_objects(self._db.execute)

    def line_totals(self) -> list[LineTotal]:
        return read_totals(self._db.execute)

    def salvage(self) -> Salvaged:
        """What can be read, whatever is the matter with the file."""
        return salvage(self._db, self._age)

    def _add_time_off(self, now: Timestamp) -> None:
        """Count the time the machine was off, once it is known.

        Spool time jumps: what was written since the machine is on again goes along, which is
        little, and all before is so much older.
        """
        off = self._age.time_off(now)
        if off is None:
            return
        off_s, last_id_before = off
        moment = self._age.moment(now, off_s)
        with self._transaction():
            self._db.execute(
                "UPDATE events SET at_s = at_s + ? WHERE id > ?", (off_s, last_id_before)
            )
            write_moment(self._db, moment)
        self._age.written(moment)

    # -- inside a transaction -------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        before = self.messages, self.bytes, self._no_update_before
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self.messages, self.bytes, self._no_update_before = before
            if self._db.in_transaction:  # SQLite ends it by itself where the disk is full
                self._db.execute("ROLLBACK")
            raise

    def _insert(self, id: int, row: Row) -> None:
        self._db.execute(
            f"INSERT INTO events ({EVENT_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            event_record(row, id, self._age),
        )
        self.messages += 1
        self.bytes += row.size

    def _delete(self, id: int | None, size: int) -> None:
        if self._db.execute("DELETE FROM events WHERE id = ?", (id,)).rowcount:
            self.messages -= 1
            self.bytes -= size

    def _drop_damaged(self) -> set[int]:
        damaged = set(self._damaged)
        if damaged:
            self._db.executemany("DELETE FROM events WHERE id = ?", [(id,) for id in damaged])
            self._measure()
        return damaged

    def _drop_old(self, now: Timestamp, in_flight: Collection[int]) -> set[int]:
        too_old_s = self._too_old_s(now)
        records = self._db.execute("SELECT id, length(body), at_s FROM events ORDER BY id")
        old = [
            (id, row_size(body_bytes))
            for id, body_bytes, at_s in takewhile(lambda record: record[2] < too_old_s, records)
            if id not in in_flight
        ]
        for id, size in old:
            self._delete(id, size)
        return {id for id, _ in old}

    def _drop_overflow(self, in_flight: Collection[int]) -> set[int]:
        excess = self.bytes - self._max_bytes
        if excess <= 0:
            return set()
        updates = self._stored(f"type = 'update' AND id >= {self._no_update_before}", in_flight)
        chosen = choose_updates(updates, excess)
        excess -= sum(row.size for row in chosen)
        all_updates_before = chosen[-1].id + 1 if excess <= 0 else self.last_id + 1
        self._no_update_before = min({all_updates_before, *in_flight})
        if excess > 0:
            others = self._stored("type != 'update'", in_flight)
            more = excess + self._max_bytes // _SLACK
            chosen += choose_objects(others, more, self._unheard)
        note_dropped(chosen, self._unheard)
        for row in chosen:
            self._delete(row.id, row.size)
        return {row.id for row in chosen}

    def _stored(self, condition: str, in_flight: Collection[int]) -> Iterator[_Stored]:
        records = self._db.execute(
            f"SELECT id, type, event_id, length(body) FROM events WHERE {condition} ORDER BY id"
        )
        for id, type, event_id, body_bytes in records:
            if id not in in_flight:
                yield _Stored(id, type, event_id, row_size(body_bytes))

    def _measure(self) -> None:
        self.messages, body_bytes = self._db.execute(
            "SELECT count(*), coalesce(sum(length(body)), 0) FROM events"
        ).fetchone()
        self.bytes = body_bytes + row_size(0) * self.messages

    def _too_old_s(self, now: Timestamp) -> float:
        return self._age.spool_s(now.uptime_s) - self._max_age_s
