"""Where events are until the broker has them: on disk, and in memory while the disk fails."""

import logging
import math
import sqlite3
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from edge.clock import Clock
from edge.config import SpoolSettings
from edge.line_total import LineTotal
from edge.metrics import Metrics
from edge.publish.drop_log import DropLog
from edge.publish.spool import Changes, Page, Spool
from edge.publish.spool_age import SpoolAge
from edge.publish.spool_event import OpenObject, Row
from edge.publish.spool_file import (
    NotASpool,
    SpoolError,
    connect,
    is_damage,
    is_full,
    remove,
    set_aside,
)
from edge.publish.spool_records import Salvaged, salvage
from edge.publish.unspooled import COMPANY_S, Unspooled

log = logging.getLogger(__name__)

MEMORY_BYTES = 4 * 1024 * 1024  # of events that are on no disk
RETRY_S = 5.0  # between two attempts at a disk that fails, and two looks at the file
UPKEEP_S = 1.0

# What opening and using the file can raise. NotASpool: the next one at the path is no better.
_FAULTS = (OSError, sqlite3.Error, SpoolError, NotASpool)


@dataclass(frozen=True)
class Written:
    """What a commit has done: the rows that are on disk now, and the ids of those dropped."""

    rows: Collection[Row]
    dropped: Collection[int]


class EventStore:
    """The spool, another one where it is damaged, and memory where there is none.

    What the disk does wrong is told once, counted, and tried again; nothing of it is raised.
    Belongs to the spool thread, but for ``unspooled.append``. ``in_use`` gives the rows that are
    held elsewhere in memory: they outlive a file that does not.

    ``generation`` grows when what there is to read is no longer what it was.
    """

    def __init__(
        self,
        settings: SpoolSettings,
        session: str,
        metrics: Metrics,
        clock: Clock,
        boot_id: str,
        in_use: Callable[[], Iterable[Row]],
        retry_s: float = RETRY_S,
    ) -> None:
        assert settings.path is not None
        self._path: Path = settings.path
        self._settings, self._metrics, self._clock = settings, metrics, clock
        self._in_use, self._retry_every_s = in_use, retry_s
        self._age = SpoolAge(boot_id)
        self._drop_log = DropLog(clock)
        self._unheard: set[str] = set()  # objects whose `new` was dropped
        self.unspooled = Unspooled(
            session,
            MEMORY_BYTES,
            clock,
            lambda count: self._count_dropped("memory", count),
            self._unheard,
        )
        self._spool: Spool | None = None
        self._file: tuple[int, int] | None = None  # device and inode of the open spool
        self._salvaged: Salvaged | None = None  # of a damaged file, until it is in a new one
        self._bad: NotASpool | None = None  # why the file at the path is to be set aside
        self._acknowledged: set[Row] = set()  # and still on disk
        self._acknowledged_due_s = 0.0
        self._objects: dict[str, OpenObject] = {}  # as the disk has them, or should
        self._totals: dict[tuple[str, str, str], LineTotal] = {}
        self._loaded = False  # these two were read from a spool once
        self._failure = ""
        self._retry_s = self._upkeep_s = 0.0
        self._damaged_s = -math.inf  # when damage was found last
        self._messages_before = 0  # in a spool that is gone
        self.generation = 0

    def open(self) -> tuple[list[OpenObject], list[LineTotal]]:
        """Open the spool; what it says of objects and lines, nothing where the disk fails.

        Raises ``SpoolError`` where another process has it, or something else is at its path. Once
        running that is a disk that fails.
        """
        try:
            self._open()
        except (OSError, sqlite3.Error, NotASpool) as error:
            self._fail(error)
        return list(self._objects.values()), list(self._totals.values())

    @property
    def failing(self) -> bool:
        return bool(self._failure)

    @property
    def last_id(self) -> int:
        """Of the newest event on disk."""
        return 0 if self._spool is None else self._spool.last_id

    # -- writing --------------------------------------------------------------------------------

    def acknowledge(self, row: Row) -> None:
        """The broker has it: it need not be kept, and goes with the next commit."""
        if row.id is None:
            self.unspooled.discard(row)
            return
        if not self._acknowledged:
            self._acknowledged_due_s = self._clock.uptime_s() + COMPANY_S
        self._acknowledged.add(row)

    def due_s(self) -> float:
        """When the next commit, or look at the file, should be made (``Clock.uptime_s``)."""
        if self.failing:
            return self._retry_s
        due_s = min(self.unspooled.due_s, self._upkeep_s)
        return min(due_s, self._acknowledged_due_s) if self._acknowledged else due_s

    def commit(self, in_flight: Collection[Row], *, retry: bool = False) -> Written:
        """Bring all that has come to the disk, in one transaction, and drop what has to go.

        Where the disk fails nothing happens until it is time for another attempt, or ``retry``.
        """
        now_s = self._clock.uptime_s()
        if self.failing and now_s < self._retry_s and not retry:
            return Written((), ())
        self._look_after(now_s)
        changes = self.unspooled.begin_write()
        try:
            spool = self._spool or self._open()
            changes.acknowledged = list(self._acknowledged)  # of this file: another has other ids
            if self.failing:
                spool.checkpoint()
            ids = {row.id for row in in_flight if row.id is not None}
            dropped = spool.commit(changes, ids)
        except _FAULTS as error:
            self.unspooled.end_write(None)
            self._fault(error)
            return Written((), ())
        self.unspooled.end_write(changes)
        self._acknowledged.difference_update(changes.acknowledged)
        self._remember(changes)
        for reason, ids in dropped.items():
            self._count_dropped(reason, len(ids))
        if self._failure:
            self._failure = ""
            log.warning("events are written to %s again", self._path)
        return Written(changes.rows, set().union(*dropped.values()))

    def close(self) -> None:
        self._drop_log.tell(at_once=True)
        if self._spool is not None:
            count = self._spool.messages - len(self._acknowledged)
            if count:
                what = "1 event stays" if count == 1 else f"{count} events stay"
                log.info("%s in the spool for the next start", what)
            self._spool.close()
        if len(self.unspooled):
            log.warning("stopping with %d events that are on no disk", len(self.unspooled))

    # -- reading --------------------------------------------------------------------------------

    def page(self, camera: str, after_id: int, limit: int) -> Page:
        """As ``Spool.page``, without what is acknowledged; empty where there is nothing to read."""
        if self._spool is None:
            return Page([], after_id, False)
        try:
            page = self._spool.page(camera, after_id, limit)
        except sqlite3.Error as error:
            self._fault(error, reading=True)
            return Page([], after_id, False)
        acknowledged = {row.id for row in self._acknowledged}
        return page._replace(rows=[row for row in page.rows if row.id not in acknowledged])

    def cameras(self) -> set[str]:
        """Cameras that have events anywhere."""
        on_disk: Collection[str] = ()
        if self._spool is not None:
            try:
                on_disk = self._spool.cameras()
            except sqlite3.Error as error:
                self._fault(error, reading=True)
        return {*on_disk, *self.unspooled.cameras()}

    def show(self) -> None:
        """Bring the gauges up to date."""
        spool, memory = self._spool, self.unspooled
        messages, size = (0, 0) if spool is None else (spool.messages, spool.bytes)
        self._metrics.spool_messages.set(messages + len(memory))
        self._metrics.spool_bytes.set(size + memory.bytes)

    # -- faults ---------------------------------------------------------------------------------

    def _look_after(self, now_s: float) -> None:
        """Once a second: what nothing else would notice."""
        if now_s < self._upkeep_s:
            return
        self._upkeep_s = now_s + UPKEEP_S
        self._drop_log.tell()
        if self.failing:
            too_old_s = now_s - self._settings.max_age_s
            self._count_dropped("age", self.unspooled.expire(too_old_s))
        if self._spool is not None and _identity(self._path) != self._file:
            log.warning("%s was removed or replaced while in use", self._path)
            self._salvage(self._spool)

    def _fault(self, error: Exception, *, reading: bool = False) -> None:
        """The disk did not do as it was told."""
        spool = self._spool
        if spool is not None and isinstance(error, sqlite3.Error) and is_damage(error):
            self._bad = NotASpool(f"it is damaged: {error}")
            self._start_anew(spool)
            now_s = self._clock.uptime_s()
            if now_s < self._damaged_s + self._retry_every_s:
                self._fail(error)  # whatever it is, not at every turn
            self._damaged_s = now_s
            return
        self._fail(error)
        if spool is None:
            return
        if reading:  # what is to come must not wait behind it
            self._let_go(spool)
        elif is_full(error) and spool.messages == len(self._acknowledged) > 0:
            # All is delivered, and there is no room to write even that down.
            log.info("%s is written anew, to make room", self._path)
            self._start_anew(spool, remove_file=True)

    def _fail(self, error: Exception) -> None:
        self._retry_s = self._clock.uptime_s() + self._retry_every_s
        self._metrics.spool_faults.labels("disk").inc()
        if not self._failure:
            log.warning(
                "events cannot be kept in %s: %s; until that works again up to %d MiB of them are "
                "kept in memory, and a crash loses these",
                self._path,
                error,
                MEMORY_BYTES // 1024**2,
            )
        self._failure = str(error) or type(error).__name__

    def _salvage(self, spool: Spool) -> None:
        """Take out what can be read, and let go of the file."""
        self._salvaged = spool.salvage()
        self._messages_before = spool.messages - len(self._acknowledged)
        self._let_go(spool)

    def _let_go(self, spool: Spool) -> None:
        spool.close()
        self._spool = None
        self.generation += 1

    def _start_anew(self, spool: Spool, *, remove_file: bool = False) -> None:
        self._salvage(spool)
        try:
            if remove_file and _identity(self._path) == self._file:
                remove(self._path)
            self._open()
        except _FAULTS as error:
            self._fail(error)

    def _open(self) -> Spool:
        """Open the spool, or another in the place of one that cannot be used.

        Raises one of ``_FAULTS``.
        """
        if self._bad is not None and _identity(self._path) == self._file:
            self._set_aside(self._bad)
        self._bad = None  # or it is gone, and what is there now is judged by itself
        try:
            spool = self._open_file()
        except NotASpool as bad:
            self._set_aside(bad)
            spool = self._open_file()
        try:
            file = _identity(self._path)
            if self._salvaged is not None or self._file not in (None, file):
                self._restore(spool)
            if not self._loaded:
                self._objects = {thing.event_id: thing for thing in spool.open_objects()}
                self._totals = {(t.camera, t.line, t.label): t for t in spool.line_totals()}
        except BaseException:
            spool.close()
            raise
        self._spool, self._file, self._salvaged, self._loaded = spool, file, None, True
        self.generation += 1
        return spool

    def _open_file(self) -> Spool:
        bounds = self._settings.max_bytes, self._settings.max_age_s
        return Spool(self._path, *bounds, self._age, self._clock, self._unheard)

    def _set_aside(self, bad: NotASpool) -> None:
        aside = set_aside(self._path, bad.suffix)
        if self._salvaged is None and bad.suffix == "corrupt" and aside.is_file():
            db = connect(aside)
            self._salvaged = salvage(db, self._age)
            db.close()
        saved = len(self._salvaged.rows) if self._salvaged is not None else 0
        self._metrics.spool_faults.labels("corrupt").inc()
        log.warning(
            "%s cannot be used, %s: set aside as %s; a new one goes on with the %d events that "
            "could be read",
            self._path,
            bad,
            aside.name,
            saved,
        )

    def _restore(self, spool: Spool) -> None:
        """Bring to a new file what another one gave, and what memory knows of it."""
        salvaged = self._salvaged or Salvaged()
        rows = {row.id: row for row in salvaged.rows}
        rows |= {row.id: row for row in self._in_use() if row.id is not None and not row.dropped}
        for row in self._acknowledged:
            rows.pop(row.id, None)
        if self._loaded:
            salvaged.objects, salvaged.totals = [*self._objects.values()], [*self._totals.values()]
        spool.restore(Salvaged([*rows.values()], salvaged.objects, salvaged.totals))
        self._acknowledged.clear()
        self._count_dropped("corrupt", max(0, self._messages_before - len(rows)))
        self._messages_before = 0

    def _remember(self, written: Changes) -> None:
        for event_id, thing in written.objects.items():
            if thing is None:
                self._objects.pop(event_id, None)
            else:
                self._objects[event_id] = thing
        self._totals |= {(t.camera, t.line, t.label): t for t in written.totals}

    def _count_dropped(self, reason: str, count: int) -> None:
        self._metrics.spool_dropped.labels(reason).inc(count)
        if count:
            self._drop_log.add(reason, count)


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode; None where nothing is there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
