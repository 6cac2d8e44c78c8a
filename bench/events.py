"""Events through the spool into mosquitto: how many a second, how soon, and what the disk writes.

    python bench/events.py [--folder FOLDER] [--seconds 15] [--rate 50]

Three runs on a spool in FOLDER, which should be on the disk of interest: as many events as go
through; ``--rate`` ``new`` and ``end`` events a second, and how long each takes from its commit to
the broker's acknowledgement; and eight cameras with ``update``s alone, which share commits. Every
event is an object's of 1080p video. Needs Debian's mosquitto.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from edge.clock import Clock, Timestamp
from edge.config import MqttSettings, SpoolSettings
from edge.events.event_message import EventMessageBuilder
from edge.events.lifecycle import Event
from edge.events.summary import ObjectSummary
from edge.frame import FrameHeader
from edge.metrics import Metrics
from edge.publish.delivery import EventDelivery
from edge.publish.mqtt import Publisher
from edge.publish.spool_event import SpoolEvent
from edge.publish.topics import Topics

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from mosquitto import Mosquitto

CLOCK = Clock()
TOPICS = Topics("rfdetr-edge", "dock-7")
BUILDER = EventMessageBuilder("dock-7", "8f3c2a10", "rfdetr-seg-nano", 8192)
LATENCY = {"capture_to_infer": 3.1, "infer": 18.9, "capture_to_publish": 24.0}


def make_event(type: str, camera: str, number: int) -> SpoolEvent:
    at = CLOCK.now()
    seen = ObjectSummary(
        label="person",
        class_id=1,
        score=0.91449,
        box=(612.0, 210.04, 860.96, 810.0),
        area_px=120606,
        area_fraction=120606 / (1080 * 1920),
        centroid=(733.1234, 512.35),
        detection=0,
        track_id=number,
        zones=("bay",),
    )
    event = Event(
        type=type,
        event_id=f"8f3c2a10-{camera}-{number}",
        frame=FrameHeader(camera, number, at, (1080, 1920)),
        seen=seen,
        mask_logits=None,
        first_seen=Timestamp(at.wall_s - 4.2, at.uptime_s - 4.2, True),
        age_s=4.218,
        frames=63,
        score_max=0.97349,
        dwell_s={"bay": 3.04},
        decided_at=at if type == "end" else None,
        end_reason="lost" if type == "end" else None,
    )
    return SpoolEvent(camera, type, event.event_id, *BUILDER.build(event, LATENCY))


class Stopwatch:
    """Stands between delivery and publisher, and times what passes."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self.sizes: list[int] = []
        self.ack_s: list[float] = []

    @property
    def connection(self) -> int:
        return self._publisher.connection

    def publish_event(self, topic: str, payload: bytes, on_ack: Callable[[], None]) -> bool:
        handed_s = time.perf_counter()

        def acknowledged() -> None:
            self.ack_s.append(time.perf_counter() - handed_s)
            on_ack()

        self.sizes.append(len(payload))
        return self._publisher.publish_event(topic, payload, acknowledged)


class Run:
    """One spool, one connection."""

    def __init__(self, broker: Mosquitto, folder: Path) -> None:
        self.metrics = Metrics()
        settings = MqttSettings(host=broker.host, port=broker.port, client_id="bench")
        publisher = Publisher(settings, TOPICS, self.metrics, CLOCK, folder)
        publisher.settle()
        publisher.start()
        self.watch = Stopwatch(publisher)
        spool = SpoolSettings(path=folder / "spool.db")
        self.delivery = EventDelivery(spool, "8f3c2a10", self.watch, TOPICS, self.metrics, CLOCK)
        self.commits = 0
        self.commit_s: list[float] = []
        self._count_commits()
        threading.Thread(target=self.delivery.run, name="spool", daemon=True).start()
        while not publisher.connection:
            time.sleep(0.01)

    def _count_commits(self) -> None:
        store = self.delivery._store
        commit = store.commit

        def counted(*args: object, **options: object) -> object:
            written = len(store.unspooled) + len(store._acknowledged)
            start = time.perf_counter()
            result = commit(*args, **options)
            if written:
                self.commits += 1
                self.commit_s.append(time.perf_counter() - start)
            return result

        store.commit = counted

    def value(self, name: str) -> float:
        return self.metrics.registry.get_sample_value(f"rfdetr_edge_{name}") or 0.0

    def finish(self) -> None:
        while self.value("spool_messages"):
            time.sleep(0.005)


@contextmanager
def new_run(folder: Path) -> Iterator[Run]:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        broker = Mosquitto(Path(place) / "broker", extra="max_queued_messages 0").start()
        run = Run(broker, Path(place))
        try:
            yield run
        finally:
            run.delivery.stop(5)
            broker.kill()


def every(rate: float, seconds: float) -> Iterator[int]:
    """Counts, ``rate`` times a second."""
    start = time.monotonic()
    for n in count():
        due_s = start + n / rate
        if due_s >= start + seconds:
            return
        time.sleep(max(0.0, due_s - time.monotonic()))
        yield n


def sustained(folder: Path, seconds: float) -> None:
    made = [make_event(("new", "end")[n % 2], f"camera-{n % 4}", n // 8) for n in range(1000)]
    with new_run(folder) as run:
        start, appended = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            for event in made[appended % 1000 :][:100]:
                run.delivery.append(event)
            appended += 100
            # No faster than the slowest part: what is dropped has not been sustained.
            while len(run.delivery._store.unspooled) > 500 or run.value("spool_messages") > 5000:
                time.sleep(0.001)
        run.finish()
        took_s, acknowledged = time.perf_counter() - start, len(run.watch.ack_s)
        assert acknowledged == appended, f"{appended - acknowledged} events were dropped"
        print(
            f"sustained: {acknowledged / took_s:.0f} events/s over {took_s:.1f} s, "
            f"{acknowledged / run.commits:.0f} events a commit, "
            f"{statistics.median(run.watch.sizes):.0f} bytes an event at the median"
        )


def paced(folder: Path, rate: float, seconds: float) -> None:
    with new_run(folder) as run:
        for n in every(rate, seconds):
            run.delivery.append(make_event(("new", "end")[n // 4 % 2], f"camera-{n % 4}", n // 8))
        run.finish()
        ack_ms = [1000 * s for s in run.watch.ack_s]
        commit_ms = [1000 * s for s in run.commit_s]
        print(f"{rate:.0f} events/s, {len(ack_ms)} events")
        for name, times in (("commit to acknowledgement", ack_ms), ("commit itself", commit_ms)):
            cuts = statistics.quantiles(times, n=100)
            print(
                f"  {name}: p50 {cuts[49]:.2f} ms, p99 {cuts[98]:.2f} ms, "
                f"least {min(times):.2f} ms, most {max(times):.2f} ms"
            )


def updates(folder: Path, seconds: float) -> None:
    with new_run(folder) as run:
        written = int(written_bytes())
        for n in every(40, seconds):
            run.delivery.append(make_event("update", f"camera-{n % 8}", n % 8))
        run.finish()
        events = len(run.watch.ack_s)
        each = (int(written_bytes()) - written) / events
        print(
            f"40 updates/s of 8 cameras: {run.commits / seconds:.1f} commits/s, "
            f"{events / run.commits:.1f} events a commit, {each:.0f} bytes written an event"
        )


def written_bytes() -> str:
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("write_bytes"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--rate", type=float, default=50)
    options = parser.parse_args()
    columns = ["findmnt", "-n", "-o", "SOURCE,FSTYPE,OPTIONS", "-T", str(options.folder)]
    disk = subprocess.run(columns, capture_output=True, text=True, check=False).stdout.strip()
    print(f"{os.cpu_count()} CPU cores, spool in {options.folder} ({disk or 'disk not known'})")
    sustained(options.folder, options.seconds)
    paced(options.folder, options.rate, options.seconds)
    updates(options.folder, options.seconds)


if __name__ == "__main__":
    main()
