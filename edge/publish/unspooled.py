"""Events that are in memory only: until the next commit, or for as long as the disk fails."""

import math
import threading
from collections import Counter
from collections.abc import Callable

from edge.clock import Clock
from edge.line_total import LineTotal
from edge.publish.overflow import choose_drops, note_dropped
from edge.publish.spool import Changes
from edge.publish.spool_event import OpenObject, Row, SpoolEvent

COMPANY_S = 0.2  # so long an `update` waits for others to share its commit


class Unspooled:
    """A bounded list of events, numbered as they come; any thread appends, one takes them out.

    ``seq`` is given here, so that an event which is dropped before it reaches the disk leaves a gap
    like any other. ``on_drop`` is called with the number of events that had to go; ``unheard`` are
    the objects whose ``new`` was dropped, here or on disk.
    """

    def __init__(
        self,
        session: str,
        max_bytes: int,
        clock: Clock,
        on_drop: Callable[[int], None],
        unheard: set[str] | None = None,
    ) -> None:
        self._unheard = set() if unheard is None else unheard
        self._session, self._max_bytes, self._clock = session, max_bytes, clock
        self._on_drop = on_drop
        self._lock = threading.Lock()
        self._rows: list[Row] = []
        self._objects: dict[str, OpenObject | None] = {}  # open, or None: ended; not yet on disk
        self._totals: dict[tuple[str, str, str], LineTotal] = {}  # likewise
        self._seqs: Counter[str] = Counter()  # by camera
        self._being_written = 0  # the first rows: not to be dropped meanwhile
        self.bytes = 0
        self.appended = 0
        self.due_s = math.inf  # when what waits should be written

    def __len__(self) -> int:
        return len(self._rows)

    def append(self, event: SpoolEvent) -> bool:
        """Take an event; True where it should be written at once. Never waits for the disk."""
        now_s = self._clock.uptime_s()
        at_once = event.type != "update"
        with self._lock:
            self._seqs[event.camera] += 1
            seq = self._seqs[event.camera]
            body = b"%b%d%b" % (event.head, seq, event.tail)
            what = (event.type, event.event_id, body, now_s)
            row = Row(event.camera, self._session, seq, *what)
            self._rows.append(row)
            self.bytes += row.size
            self.appended += 1
            ended = event.type == "end"
            self._objects[event.event_id] = (
                None if ended else OpenObject(event.event_id, event.camera, self._session, body)
            )
            self._totals |= {(t.camera, t.line, t.label): t for t in event.line_totals}
            self.due_s = min(self.due_s, now_s if at_once else now_s + COMPANY_S)
            excess = self.bytes - self._max_bytes
            dropped = self._drop(excess) if excess > 0 else 0
        if dropped:
            self._on_drop(dropped)
        return at_once

    # -- for the spool thread -------------------------------------------------------------------

    def begin_write(self) -> Changes:
        """All that is not on disk; ``end_write`` must follow."""
        with self._lock:
            self._being_written = len(self._rows)
            self.due_s = math.inf
            return Changes(
                rows=list(self._rows),
                objects=dict(self._objects),
                totals=list(self._totals.values()),
            )

    def end_write(self, written: Changes | None) -> None:
        """``written`` is on disk now; None: nothing is."""
        with self._lock:
            self._being_written = 0
            if written is None:
                self.due_s = self._clock.uptime_s()
                return
            del self._rows[: len(written.rows)]
            self.bytes -= sum(row.size for row in written.rows)
            for event_id, thing in written.objects.items():
                if self._objects[event_id] is thing:
                    del self._objects[event_id]
            for total in written.totals:
                key = (total.camera, total.line, total.label)
                if self._totals[key] is total:
                    del self._totals[key]

    def page(self, camera: str, limit: int) -> list[Row]:
        """The oldest rows of a camera that are not queued yet, for when the disk fails."""
        with self._lock:
            rows = [row for row in self._rows if row.camera == camera and not row.queued]
            return rows[:limit]

    def cameras(self) -> set[str]:
        with self._lock:
            return {row.camera for row in self._rows}

    def claim(self, row: Row) -> bool:
        """Keep a row from being dropped while it is sent; False where it has been."""
        with self._lock:
            row.claimed = not row.dropped
            return row.claimed

    def release(self, *, replayed: bool) -> None:
        """The connection is gone, and what was sent on it is to be sent anew."""
        with self._lock:
            for row in self._rows:
                row.queued = row.claimed = False
                row.replayed |= replayed

    def discard(self, row: Row) -> None:
        """The broker has it."""
        with self._lock:
            if row in self._rows:
                self._rows.remove(row)
                self.bytes -= row.size

    def expire(self, before_s: float) -> int:
        """Drop what was appended before ``before_s``; returns how many that were."""
        with self._lock:
            old = [row for row in self._rows if row.uptime_s < before_s and not row.claimed]
            self._remove(old)
            return len(old)

    # -- under the lock -------------------------------------------------------------------------

    def _drop(self, excess: int) -> int:
        free = [row for row in self._rows[self._being_written :] if not row.claimed]
        chosen = choose_drops(free, excess, self._unheard)
        note_dropped(chosen, self._unheard)
        self._remove(chosen)
        return len(chosen)

    def _remove(self, rows: list[Row]) -> None:
        for row in rows:
            row.dropped = True
        self._rows = [row for row in self._rows if not row.dropped]
        self.bytes -= sum(row.size for row in rows)
