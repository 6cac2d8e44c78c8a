"""The `spool` thread: an event is committed to disk, then published, then deleted on its PUBACK."""

import threading
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Protocol

from edge.clock import Clock
from edge.config import SpoolSettings
from edge.line_total import LineTotal
from edge.metrics import Metrics
from edge.publish.event_store import RETRY_S, EventStore
from edge.publish.outgoing import Outgoing
from edge.publish.spool_age import read_boot_id
from edge.publish.spool_event import OpenObject, Row, SpoolEvent
from edge.publish.topics import Topics

TURN_S = 0.2  # the longest an empty turn takes
_CLOSE_S = 1.0  # for the last commit and the checkpoint


class EventPublisher(Protocol):
    """What delivery needs of ``Publisher``."""

    @property
    def connection(self) -> int: ...

    def publish_event(self, topic: str, payload: bytes, on_ack: Callable[[], None]) -> bool: ...


class EventDelivery:
    """Delivers each event at least once, in order by camera, whatever happens to broker and disk.

    ``append``, ``left_open`` and ``line_totals`` may be called from any thread; ``run`` is the
    spool thread, which owns everything else. ``turned_uptime_s`` may be read by any.
    """

    def __init__(
        self,
        settings: SpoolSettings,
        session: str,
        publisher: EventPublisher,
        topics: Topics,
        metrics: Metrics,
        clock: Clock,
        boot_id: Callable[[], str] = read_boot_id,
        retry_s: float = RETRY_S,
    ) -> None:
        """Opens the spool.

        Raises ``SpoolError`` where another process has it, or something else is at its path.
        """
        self._publisher, self._topics, self._clock = publisher, topics, clock
        self._store = EventStore(
            settings, session, metrics, clock, boot_id(), self._rows_in_use, retry_s
        )
        self._outgoing = Outgoing(self._store, settings.replay_rate, clock.uptime_s())
        self._left_open, self._line_totals = self._store.open()
        self._acknowledged: SimpleQueue[Row] = SimpleQueue()
        self._connection = 0  # the one that the outgoing events are meant for
        self._generation = self._store.generation
        self._wake = threading.Event()
        self._deadline_s: float | None = None  # of stopping
        self._begun = threading.Lock()  # taken by the one that closes the spool in the end
        self._ended = threading.Event()
        self.turned_uptime_s = clock.uptime_s()

    def append(self, event: SpoolEvent) -> None:
        """Take an event over. Never waits for disk or broker.

        ``new`` and ``end`` go to the disk at once, an ``update`` within 0.2 s.
        """
        if self._store.unspooled.append(event):
            self._wake.set()

    def left_open(self) -> list[OpenObject]:
        """What earlier sessions have left without an ``end``, as the spool had it at the start."""
        return list(self._left_open)

    def line_totals(self) -> list[LineTotal]:
        """The totals of all lines, as the spool had them at the start."""
        return list(self._line_totals)

    def run(self) -> None:
        """Turn until ``stop``, then deliver what can be delivered in the time that it gives."""
        if not self._begun.acquire(blocking=False):
            return
        try:
            while self._deadline_s is None:
                self.turn(self._pause_s())
            self._finish(self._deadline_s)
        finally:
            self._ended.set()

    def stop(self, timeout_s: float) -> None:
        """Commit what has come, and send it within ``timeout_s`` where there is a connection.

        Without one it returns as soon as everything is on the disk. Call it before the publisher's
        ``stop``; nothing is delivered that is appended after it.
        """
        self._deadline_s = self._clock.uptime_s() + timeout_s
        self._wake.set()
        if self._begun.acquire(blocking=False):
            self._finish(self._deadline_s)
        else:
            self._ended.wait(timeout_s + _CLOSE_S)

    def turn(self, timeout_s: float) -> None:
        self._wake.wait(timeout_s)
        self._wake.clear()
        self._take_acknowledgements()
        self._follow_connection()
        if self._clock.uptime_s() >= self._store.due_s():
            self._commit()
        self._send()
        self._store.show()
        self.turned_uptime_s = self._clock.uptime_s()

    # -- the parts of a turn --------------------------------------------------------------------

    def _take_acknowledgements(self) -> None:
        while True:
            try:
                row = self._acknowledged.get_nowait()
            except Empty:
                return
            self._outgoing.in_flight.discard(row)
            self._store.acknowledge(row)

    def _follow_connection(self) -> None:
        connection = self._publisher.connection
        if connection != self._connection:
            self._connection = connection
            self._outgoing.in_flight.clear()  # lost, or at least not known to have arrived
            self._store.unspooled.release(replayed=self._store.failing)
            self._outgoing.begin()
        elif self._store.generation != self._generation:
            self._outgoing.begin()
        self._generation = self._store.generation

    def _commit(self, *, retry: bool = False) -> None:
        written = self._store.commit(self._outgoing.in_flight, retry=retry)
        if self._generation == self._store.generation:
            self._outgoing.add(written)
        else:
            self._generation = self._store.generation
            self._outgoing.begin(live=written.rows)

    def _send(self) -> None:
        if not self._connection:
            return
        while (row := self._outgoing.next(self._clock.uptime_s())) is not None:
            if row.id is None and not self._store.unspooled.claim(row):
                continue
            acknowledge = partial(self._acknowledge, row)
            topic = self._topics.events(row.camera)
            if not self._publisher.publish_event(topic, row.payload(), acknowledge):
                self._outgoing.put_back(row)
                return
            self._outgoing.in_flight.add(row)

    def _finish(self, deadline_s: float) -> None:
        self._commit(retry=True)
        while self._unfinished() and (left_s := deadline_s - self._clock.uptime_s()) > 0:
            self.turn(min(self._pause_s(), left_s))
        self._take_acknowledgements()
        self._commit(retry=True)
        self._store.show()
        self._store.close()

    def _unfinished(self) -> bool:
        self._follow_connection()
        return self._connection != 0 and bool(self._outgoing.in_flight or self._outgoing.waiting())

    def _pause_s(self) -> float:
        now_s = self._clock.uptime_s()
        pause_s = min(TURN_S, self._store.due_s() - now_s)
        rate_s = self._outgoing.wait_s(now_s)
        return max(0.0, min(pause_s, rate_s) if rate_s else pause_s)

    # -- in other threads -----------------------------------------------------------------------

    def _acknowledge(self, row: Row) -> None:
        self._acknowledged.put(row)
        self._wake.set()

    def _rows_in_use(self) -> list[Row]:
        return list(self._outgoing.rows())
