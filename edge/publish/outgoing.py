"""Which event is sent next: in order by camera, the backlog in turns and not too fast."""

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from edge.publish.event_store import EventStore, Written
from edge.publish.pacing import TokenBucket
from edge.publish.spool_event import Row

WINDOW = 100  # events sent and not acknowledged
_REPLAY_WINDOW = 50  # of the backlog: live ones always find room
_PAGE = 20  # events of one camera read, or kept in memory, ahead of their sending
_BURST_S = 0.05  # of replay at once


@dataclass
class _Queue:
    """What one camera has to send on this connection, in order."""

    rows: deque[Row] = field(default_factory=deque)  # the first of it
    last_id: int = 0  # of what was queued from the disk
    more: bool = True  # there may be more on disk
    memory_seen: int = 0  # so many had been appended when memory was last looked through


class Outgoing:
    """The events of the current connection, for the spool thread.

    What was on disk when the connection began is the backlog: marked as replayed, and sent at
    ``replay_rate`` events a second over all cameras. A camera's live events wait behind its own
    backlog only.
    """

    def __init__(self, store: EventStore, replay_rate: float, now_s: float) -> None:
        self._store = store
        self._bucket = TokenBucket(replay_rate, max(1.0, replay_rate * _BURST_S), now_s)
        self._queues: dict[str, _Queue] = {}
        self._turns: list[str] = []  # cameras, the one that has waited longest first
        self._backlog_id = 0  # the backlog's last event
        self._memory_seen = 0  # likewise, when it was looked through for cameras
        self._waits_for_rate = False
        self.in_flight: set[Row] = set()

    def rows(self) -> Iterator[Row]:
        """All that is held here."""
        yield from self.in_flight
        for queue in self._queues.values():
            yield from queue.rows

    def begin(self, live: Collection[Row] = ()) -> None:
        """A connection begins, or what there is to read has changed under it.

        ``in_flight`` stays: its events are not sent twice on one connection. ``live`` are the
        newest on disk, just committed: no backlog but where they were sent before.
        """
        for queue in self._queues.values():
            for row in queue.rows:
                row.queued = False
        cameras = sorted(self._store.cameras())
        self._queues = {camera: _Queue() for camera in cameras}
        self._turns = cameras
        live_ids = [row.id for row in live if row.id is not None and not row.replayed]
        self._backlog_id = min(live_ids) - 1 if live_ids else self._store.last_id

    def add(self, written: Written) -> None:
        """A commit was made."""
        for row in written.rows:
            assert row.id is not None
            if row.replayed:
                self._backlog_id = max(self._backlog_id, row.id)
            queue = self._queue(row.camera)
            if row.queued:
                queue.last_id = row.id
            elif not queue.more and len(queue.rows) < _PAGE and row.id not in written.dropped:
                row.queued = True
                queue.last_id = row.id
                queue.rows.append(row)
            else:
                queue.more = True
        if written.dropped:
            for row in self.rows():
                row.dropped |= row.id in written.dropped

    def next(self, now_s: float) -> Row | None:
        """The event to send now; None where there is none, or not yet."""
        self._waits_for_rate = False
        if len(self.in_flight) >= WINDOW:
            return None
        memory = self._store.unspooled
        if self._store.failing and self._memory_seen < memory.appended:
            self._memory_seen = memory.appended
            for camera in memory.cameras():
                self._queue(camera)
        return self._live() or self._replayed(now_s)

    def put_back(self, row: Row) -> None:
        """It could not be sent."""
        self._queue(row.camera).rows.appendleft(row)

    def wait_s(self, now_s: float) -> float:
        """How long until the rate allows what ``next`` would not give; 0 where it was not that."""
        return self._bucket.wait_s(now_s) if self._waits_for_rate else 0.0

    def waiting(self) -> bool:
        """True where there is something to send, now or later."""
        return any(self._head(camera) is not None for camera in self._turns)

    def _live(self) -> Row | None:
        camera = self._first_camera(replayed=False)
        return None if camera is None else self._take(camera)

    def _replayed(self, now_s: float) -> Row | None:
        if sum(row.replayed for row in self.in_flight) >= _REPLAY_WINDOW:
            return None
        camera = self._first_camera(replayed=True)
        if camera is None:
            return None
        if not self._bucket.take(now_s):
            self._waits_for_rate = True
            return None
        return self._take(camera)

    def _first_camera(self, *, replayed: bool) -> str | None:
        for camera in self._turns:
            head = self._head(camera)
            if head is not None and head.replayed == replayed:
                return camera
        return None

    def _take(self, camera: str) -> Row:
        self._turns.remove(camera)
        self._turns.append(camera)
        return self._queues[camera].rows.popleft()

    def _head(self, camera: str) -> Row | None:
        queue = self._queues[camera]
        while True:
            while queue.rows and queue.rows[0].dropped:
                queue.rows.popleft()
            if queue.rows:
                return queue.rows[0]
            if queue.more:
                self._read_disk(queue, camera)
            elif self._store.failing and queue.memory_seen < self._store.unspooled.appended:
                self._read_memory(queue, camera)
            else:
                return None

    def _read_disk(self, queue: _Queue, camera: str) -> None:
        rows, queue.last_id, queue.more = self._store.page(camera, queue.last_id, _PAGE)
        sent = {row.id for row in self.in_flight}
        for row in rows:
            if row.id not in sent:
                assert row.id is not None
                row.replayed = row.id <= self._backlog_id
                row.queued = True
                queue.rows.append(row)

    def _read_memory(self, queue: _Queue, camera: str) -> None:
        appended = self._store.unspooled.appended
        rows = self._store.unspooled.page(camera, _PAGE)
        if len(rows) < _PAGE:
            queue.memory_seen = appended
        for row in rows:
            row.queued = True
            queue.rows.append(row)

    def _queue(self, camera: str) -> _Queue:
        if camera not in self._queues:
            self._queues[camera] = _Queue(more=False)
            self._turns.append(camera)
        return self._queues[camera]
