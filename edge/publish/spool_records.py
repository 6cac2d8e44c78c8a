"""The spool's records as objects and back, and what can still be read of a damaged file."""

import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from edge.line_total import LineTotal
from edge.publish.spool_age import Moment, SpoolAge, Synced
from edge.publish.spool_event import OpenObject, Row
from edge.publish.spool_file import checksum

log = logging.getLogger(__name__)

T = TypeVar("T")
Record = tuple[Any, ...]
Query = Callable[[str], Iterator[Record]]  # runs one statement

EVENT_COLUMNS = "id, camera, session, seq, type, event_id, at_s, checksum, body"
_OBJECT_COLUMNS = "event_id, camera, session, checksum, body"
_TOTAL_COLUMNS = "camera, line, label, ins, outs"
_MOMENT_COLUMNS = (
    "boot_id, uptime_s, spool_s, synced_boot_id, synced_wall_s, synced_spool_s, synced_last_id"
)


def event_record(row: Row, id: int, age: SpoolAge) -> Record:
    what = (row.camera, row.session, row.seq, row.type, row.event_id)
    return (id, *what, age.spool_s(row.uptime_s), checksum(row.body, *what), row.body)


def read_event(record: Record, age: SpoolAge) -> Row | None:
    """None where the record is damaged."""
    id, camera, session, seq, type, event_id, at_s, its_checksum, body = record
    whole = isinstance(body, bytes) and (
        checksum(body, camera, session, seq, type, event_id) == its_checksum
    )
    uptime_s = age.uptime_s(float(at_s))
    return Row(camera, session, seq, type, event_id, body, uptime_s, id) if whole else None


def write_object(db: sqlite3.Connection, thing: OpenObject) -> None:
    what = (thing.event_id, thing.camera, thing.session)
    db.execute(
        f"INSERT OR REPLACE INTO open_objects ({_OBJECT_COLUMNS}) VALUES (?, ?, ?, ?, ?)",
        (*what, checksum(thing.body, *what), thing.body),
    )


def read_objects(query: Query) -> list[OpenObject]:
    """All that are open and undamaged."""

    def read(record: Record) -> OpenObject | None:
        event_id, camera, session, its_checksum, body = record
        whole = isinstance(body, bytes) and (
            checksum(body, event_id, camera, session) == its_checksum
        )
        return OpenObject(event_id, camera, session, body) if whole else None

    records = query(f"SELECT {_OBJECT_COLUMNS} FROM open_objects ORDER BY event_id")
    return list(readable(records, read))


def write_total(db: sqlite3.Connection, total: LineTotal) -> None:
    db.execute(
        f"INSERT OR REPLACE INTO line_totals ({_TOTAL_COLUMNS}) VALUES (?, ?, ?, ?, ?)",
        (total.camera, total.line, total.label, total.ins, total.outs),
    )


def read_totals(query: Query) -> list[LineTotal]:
    def read(record: Record) -> LineTotal | None:
        whole = all(isinstance(count, int) for count in record[3:])
        return LineTotal(*record) if whole else None

    records = query(f"SELECT {_TOTAL_COLUMNS} FROM line_totals ORDER BY camera, line, label")
    return list(readable(records, read))


def write_moment(db: sqlite3.Connection, moment: Moment) -> None:
    synced = moment.synced
    values: Record = (None,) * 4
    if synced is not None:
        values = (synced.boot_id, synced.wall_s, synced.spool_s, synced.last_id)
    db.execute(
        f"INSERT OR REPLACE INTO moment (one, {_MOMENT_COLUMNS}) VALUES (1, ?, ?, ?, ?, ?, ?, ?)",
        (moment.boot_id, moment.uptime_s, moment.spool_s, *values),
    )


def read_moment(query: Query) -> Moment | None:
    def read(record: Record) -> Moment:
        boot_id, uptime_s, spool_s, synced_boot_id, wall_s, synced_spool_s, last_id = record
        synced = None
        if synced_boot_id is not None:
            synced = Synced(synced_boot_id, float(wall_s), float(synced_spool_s), int(last_id))
        return Moment(boot_id, float(uptime_s), float(spool_s), synced)

    records = query(f"SELECT {_MOMENT_COLUMNS} FROM moment WHERE one = 1")
    return next(readable(records, read), None)


@dataclass
class Salvaged:
    """What a damaged file still gave."""

    rows: list[Row] = field(default_factory=list)
    objects: list[OpenObject] = field(default_factory=list)
    totals: list[LineTotal] = field(default_factory=list)


def salvage(db: sqlite3.Connection, age: SpoolAge) -> Salvaged:
    """Read what can be read; ``age`` goes on from the file's own time. Raises nothing of SQLite."""
    query = partial(_until_damage, db)
    # The table alone, from both ends: an index may be what is damaged, or a page in the middle.
    records = list(query(f"SELECT {EVENT_COLUMNS} FROM events NOT INDEXED ORDER BY id"))
    last_id = records[-1][0] if records else 0
    behind = query(
        f"SELECT {EVENT_COLUMNS} FROM events NOT INDEXED WHERE id > {last_id} ORDER BY id DESC"
    )
    records += reversed(list(behind))
    moment = read_moment(query)
    if moment is not None:
        newest_s = max((r[6] for r in records if isinstance(r[6], float)), default=0.0)
        age.go_on_from(moment, records[-1][0] if records else 0, newest_s)
    rows = readable(records, lambda record: read_event(record, age))
    return Salvaged(list(rows), read_objects(query), read_totals(query))


def readable(records: Iterable[Record], read: Callable[[Record], T | None]) -> Iterator[T]:
    """Those of which ``read`` makes something."""
    for record in records:
        try:
            thing = read(record)
        except (TypeError, ValueError):
            continue
        if thing is not None:
            yield thing


def _until_damage(db: sqlite3.Connection, statement: str) -> Iterator[Record]:
    try:
        yield from db.execute(statement)
    except sqlite3.Error as error:
        log.debug("%s: %s", statement, error)
