"""For the tests of the spool: a clock set by hand, events, and a stand-in for the broker."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

from edge.clock import Clock, Timestamp
from edge.config import SpoolSettings
from edge.line_total import LineTotal
from edge.metrics import Metrics
from edge.publish.delivery import EventDelivery
from edge.publish.spool_event import SpoolEvent
from edge.publish.topics import Topics

TOPICS = Topics("rfdetr-edge", "dock-7")


class HandClock(Clock):
    """Moves when it is told to; ``wall_s`` goes along."""

    def __init__(self, uptime_s: float = 1000.0, wall_s: float = 1.7e9, synced: bool = True):
        super().__init__()
        self.at_s, self.wall_s, self.synced = uptime_s, wall_s, synced

    def uptime_s(self) -> float:
        return self.at_s

    def now(self) -> Timestamp:
        return Timestamp(self.wall_s, self.at_s, self.synced)

    def move(self, seconds: float) -> None:
        self.at_s += seconds
        self.wall_s += seconds

    def reboot(self, off_s: float, *, uptime_s: float = 20.0, synced: bool = True) -> None:
        """The machine was off for ``off_s``, is up again for ``uptime_s``; unsynced it is 1970."""
        self.true_wall_s = self.wall_s + off_s + uptime_s
        self.at_s, self.synced = uptime_s, synced
        self.wall_s = self.true_wall_s if synced else uptime_s

    def sync(self) -> None:
        """NTP has answered, right after ``reboot``."""
        self.wall_s, self.synced = self.true_wall_s, True


def event(
    type: str,
    name: str,
    camera: str = "dock",
    *,
    session: str = "",
    pad: int = 100,
    totals: tuple[LineTotal, ...] = (),
) -> SpoolEvent:
    """About ``pad`` bytes more than it needs; a JSON object with its ``seq``."""
    message = {"session": session, "type": type, "event_id": name, "pad": "x" * pad}
    head = json.dumps(message)[:-1].encode() + b',"seq":'
    return SpoolEvent(camera, type, name, head, b',"last":1}', totals)


class StandIn:
    """Takes events while ``connection`` is not 0, and acknowledges them when told to."""

    def __init__(self) -> None:
        self.connection = 0
        self.room = 10**9
        self.sent: list[tuple[str, dict]] = []  # topic, message
        self._acks: list[Callable[[], None]] = []

    def publish_event(self, topic: str, payload: bytes, on_ack: Callable[[], None]) -> bool:
        if not self.connection or not self.room:
            return False
        self.room -= 1
        self.sent.append((topic, json.loads(payload)))
        self._acks.append(on_ack)
        return True

    def acknowledge(self, count: int | None = None) -> None:
        """The oldest ``count`` that are not acknowledged; None: all."""
        count = len(self._acks) if count is None else count
        for on_ack in self._acks[:count]:
            on_ack()
        del self._acks[:count]

    def connect(self, number: int) -> None:
        self.connection = number
        self._acks.clear()

    def told(self, camera: str | None = None) -> list[tuple[str, int, bool]]:
        """Event ids with type, seq and whether replayed, in the order they were sent."""
        return [
            (f"{m['type']} {m['event_id']}", m["seq"], m.get("replayed", False))
            for topic, m in self.sent
            if camera is None or topic == TOPICS.events(camera)
        ]


class Bench:
    """A delivery on a folder, driven turn by turn; ``restart`` is a new process on the same one."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.path = folder / "spool.db"
        self.clock = HandClock()
        self.settings = SpoolSettings(path=self.path, **settings)
        self.boot_id = "boot-1"
        self.sessions = 0
        self.broker = StandIn()
        self.start()

    def start(self) -> EventDelivery:
        self.sessions += 1
        self.metrics = Metrics()
        self.delivery = EventDelivery(
            self.settings,
            f"session{self.sessions}",
            self.broker,
            TOPICS,
            self.metrics,
            self.clock,
            lambda: self.boot_id,
        )
        return self.delivery

    def append(self, *events: SpoolEvent) -> None:
        for one in events:
            self.delivery.append(one)

    def turn(self, count: int = 1, seconds: float = 0.25) -> None:
        """Turns far enough apart for everything that may wait for company."""
        for _ in range(count):
            self.clock.move(seconds)
            self.delivery.turn(0)

    def kill(self) -> None:
        """Let go of the file as the kernel would, with nothing written or sent any more."""
        spool = self.delivery._store._spool
        if spool is not None:
            spool._db.close()

    def restart(self) -> EventDelivery:
        self.kill()
        self.broker.connect(0)
        return self.start()

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"rfdetr_edge_spool_{name}", labels) or 0.0

    def dropped(self) -> dict[str, float]:
        reasons = ("overflow", "age", "memory", "corrupt")
        counts = {reason: self.value("dropped_total", reason=reason) for reason in reasons}
        return {reason: count for reason, count in counts.items() if count}


def warnings_of(caplog) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
