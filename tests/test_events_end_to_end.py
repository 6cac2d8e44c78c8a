"""Events, counts and switches of the whole daemon, with a real broker."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import pytest
from daemon_process import DEADLINE_S, DaemonProcess, get, running, write_config
from event_rules import received_events
from mosquitto import Mosquitto, Subscriber
from prometheus_client.parser import text_string_to_metric_families

from edge.capture.shapes import ShapesCamera

pytestmark = pytest.mark.e2e

B = "rfdetr-edge/test"
EVENTS = f"{B}/dock/events"
BUSY = {
    "id": "dock",
    "source": "shapes:?seed=3&objects=8&min_size=60&fps=10",
    "zones": [{"id": "left", "polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]], "min_overlap": 0.5}],
    "lines": [{"id": "gate", "from": [0.5, 0.0], "to": [0.5, 1.0]}],
}
KILLS = int(os.environ.get("KILLS", "20"))  # make chaos: 100


def wait_until(reached: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> None:
    end = time.monotonic() + deadline_s
    pause = threading.Event()
    while not reached():
        assert time.monotonic() < end, f"waited for {what} in vain"
        pause.wait(0.05)


def events_of(subscriber: Subscriber, session: str) -> list[dict[str, Any]]:
    events = [json.loads(payload) for payload in subscriber.payloads(EVENTS)]
    return [event for event in events if event["session"] == session]


def len_at_least(subscriber: Subscriber, session: str, count: int) -> bool:
    return len(events_of(subscriber, session)) >= count


def session_of(daemon: DaemonProcess) -> str:
    return daemon.wait_for_line("session").rsplit("session ", 1)[1].split()[0]


def spooled(page: str) -> float:
    families = text_string_to_metric_families(get(f"{page}metrics")[1].decode())
    (messages,) = (family for family in families if family.name == "rfdetr_edge_spool_messages")
    return messages.samples[0].value


def last_retained(subscriber: Subscriber) -> dict[str, str]:
    return {t.removeprefix(f"{B}/"): p.decode() for t, p, _ in list(subscriber.seen)}


def test_objects_live_and_end_and_are_counted(tmp_path: Path, broker: Mosquitto) -> None:
    config = write_config(tmp_path, broker.port, [BUSY])
    with (
        Subscriber(broker.host, broker.port, f"{B}/#") as subscriber,
        running("run", "-c", str(config)) as daemon,
    ):
        session = session_of(daemon)

        def seen() -> set[str]:
            events = events_of(subscriber, session)
            return {e["type"] for e in events} | {"crossing" for e in events if "crossed" in e}

        wait_until(lambda: seen() >= {"new", "update", "end", "crossing"}, "one of each")
        assert daemon.stop() == 0
        subscriber.catch_up()
    events = received_events(subscriber.payloads(EVENTS))
    assert {event["end_reason"] for event in events if event["type"] == "end"} <= {
        "lost",
        "shutdown",
    }
    assert events[-1]["end_reason"] == "shutdown"
    assert not any("replayed" in event for event in events)

    frames = [json.loads(p) for p in subscriber.payloads(f"{B}/dock/frame")]
    tracked = {o["track_id"] for frame in frames for o in frame["objects"]} - {None}
    assert tracked == {event["object"]["track_id"] for event in events}

    # What was counted at any time is what the events say; at the end nobody knows.
    opened = Counter(e["object"]["label"] for e in events if e["type"] == "new")
    for label, total in opened.items():
        counts = [p.decode() for p in subscriber.payloads(f"{B}/dock/count/{label}")]
        assert counts[-1] == "None"
        steps = [int(count) for count in counts[:-1]]
        assert max(steps) <= total
        inside = [p.decode() for p in subscriber.payloads(f"{B}/dock/zone/left/{label}")]
        assert all(count == "None" or count.isdigit() for count in inside)
    crossed = Counter(
        (c["direction"], e["object"]["label"]) for e in events for c in e.get("crossed", ())
    )
    for label in opened:
        totals = json.loads(subscriber.payloads(f"{B}/dock/line/gate/{label}")[-1])
        assert totals == {"in": crossed["in", label], "out": crossed["out", label]}


def test_a_killed_daemon_loses_no_event(
    tmp_path: Path, start_mosquitto: Callable[..., Mosquitto]
) -> None:
    """SIGKILL in mid-stream, again and again; the subscriber comes and goes, too."""
    broker = start_mosquitto(extra="max_queued_messages 100000")
    config = write_config(tmp_path, broker.port, [BUSY], tracking={"update_interval_s": 0.1})
    committed: set[tuple[str, int]] = set()
    payloads: list[bytes] = []
    repeated: set[bytes] = set()
    for kill in range(KILLS):
        with (
            Subscriber(broker.host, broker.port, f"{B}/#", client_id="watch") as subscriber,
            running("run", "-c", str(config)) as daemon,
        ):
            session = session_of(daemon)
            enough = partial(len_at_least, subscriber, session, 10 + kill % 10)
            wait_until(enough, "events")
            daemon.process.send_signal(signal.SIGKILL)
            daemon.wait()
            with closing(sqlite3.connect(tmp_path / "state" / "spool.db")) as spool:
                committed |= set(spool.execute("SELECT session, seq FROM events"))
        payloads += subscriber.payloads(EVENTS)
        repeated |= subscriber.repeated
    with (
        Subscriber(broker.host, broker.port, f"{B}/#", client_id="watch") as subscriber,
        running("run", "-c", str(config)) as daemon,
    ):
        session = session_of(daemon)
        wait_until(lambda: len(events_of(subscriber, session)) >= 10, "events")
        assert daemon.stop() == 0
        subscriber.catch_up()
    payloads += subscriber.payloads(EVENTS)
    events = received_events(payloads, repeated=repeated | subscriber.repeated)
    received = {(event["session"], event["seq"]) for event in events}
    assert committed <= received, f"committed and never seen: {committed - received}"
    assert len({event["session"] for event in events}) == KILLS + 1
    restarts = [event for event in events if event.get("end_reason") == "restart"]
    assert {event["opened_session"] for event in restarts}, "nothing was open at any kill"
    with closing(sqlite3.connect(tmp_path / "state" / "spool.db")) as spool:
        assert spool.execute("SELECT count(*) FROM events").fetchone() == (0,)
        assert spool.execute("SELECT count(*) FROM open_objects").fetchone() == (0,)
    print(
        f"{KILLS} kills: {len(events)} events, {len(payloads) - len(events)} duplicates, "
        f"{len(restarts)} ends of dead sessions, {len(committed)} rows on disk at the kills"
    )


def test_events_of_an_outage_come_afterwards_in_order(
    tmp_path: Path, start_mosquitto: Callable[..., Mosquitto]
) -> None:
    broker = start_mosquitto(persistence=True, extra="max_queued_messages 100000")
    config = write_config(tmp_path, broker.port, [BUSY])
    with (
        Subscriber(broker.host, broker.port, f"{B}/#", client_id="watch") as subscriber,
        running("run", "-c", str(config)) as daemon,
    ):
        session = session_of(daemon)
        wait_until(lambda: events_of(subscriber, session), "an event")
        broker.stop()
        before = len(events_of(subscriber, session))
        page = daemon.page()
        wait_until(lambda: spooled(page) >= 15, "events in the spool")
        broker.start()
        wait_until(lambda: len(events_of(subscriber, session)) >= before + 20, "the backlog")
        assert daemon.stop() == 0
        subscriber.catch_up()
    events = received_events(subscriber.payloads(EVENTS), broker_restarted=True)
    replayed = [event.get("replayed", False) for event in events]
    first, last = replayed.index(True), len(replayed) - replayed[::-1].index(True)
    assert last - first >= 15
    assert all(replayed[first:last]), "a live event overtook the backlog"
    assert not replayed[-1]


def test_a_camera_is_switched_off_and_on_and_stays_off(tmp_path: Path, broker: Mosquitto) -> None:
    config = write_config(tmp_path, broker.port, [BUSY, {**BUSY, "id": "yard"}])

    def switch(subscriber: Subscriber, word: str) -> None:
        subscriber.clear()
        subscriber.publish(f"{B}/dock/enabled/set", word)
        subscriber.wait_for(f"{B}/dock/enabled/state", word)

    with Subscriber(broker.host, broker.port, f"{B}/#") as subscriber:
        with running("run", "-c", str(config)) as daemon:
            session = session_of(daemon)
            wait_until(lambda: events_of(subscriber, session), "an event")
            label = json.loads(subscriber.payloads(EVENTS)[0])["object"]["label"]
            history = subscriber.payloads(EVENTS)
            switch(subscriber, "OFF")
            subscriber.wait_for(f"{B}/dock/status", "disabled")
            subscriber.wait_for(f"{B}/dock/count/{label}", "None")
            wait_until(
                lambda: any(b'"end_reason":"disabled"' in p for p in subscriber.payloads(EVENTS)),
                "the end of what was open",
            )
            frames = len(subscriber.payloads(f"{B}/dock/frame"))
            others = len(subscriber.payloads(f"{B}/yard/frame"))
            wait_until(
                lambda: len(subscriber.payloads(f"{B}/yard/frame")) > others + 5, "the other camera"
            )
            assert len(subscriber.payloads(f"{B}/dock/frame")) == frames
            received_events(history + subscriber.payloads(EVENTS))
            assert daemon.stop() == 0
        subscriber.clear()
        with running("run", "-c", str(config)) as daemon:
            subscriber.wait_for(f"{B}/status", "online")
            assert last_retained(subscriber)["dock/status"] == "disabled"
            assert last_retained(subscriber)["dock/enabled/state"] == "OFF"
            switch(subscriber, "ON")
            subscriber.wait_for(f"{B}/dock/status", "online")
            wait_until(lambda: subscriber.payloads(f"{B}/dock/frame"), "a frame")
            assert daemon.stop() == 0


def test_a_file_that_ends_ends_its_events(tmp_path: Path, broker: Mosquitto) -> None:
    clip = tmp_path / "clip.avi"
    camera = ShapesCamera(3, objects=8, min_size=60, fps=10)
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter_fourcc(*"MJPG"), 10, (640, 360))
    for number in range(30):
        writer.write(camera.frame(number).image)
    writer.release()
    source = {**BUSY, "source": "file:clip.avi?pace=none"}
    config = write_config(tmp_path, broker.port, [source])
    with (
        Subscriber(broker.host, broker.port, f"{B}/#") as subscriber,
        running("run", "-c", str(config)) as daemon,
    ):
        assert daemon.wait() == 0
        subscriber.catch_up()
    events = received_events(subscriber.payloads(EVENTS))
    frames = [json.loads(p)["frame"]["id"] for p in subscriber.payloads(f"{B}/dock/frame")]
    assert frames == list(range(30))
    last = [event for event in events if event.get("end_reason") == "source_ended"]
    assert last
    assert max(event["frame"]["id"] for event in last) == 29


def test_home_assistant_sees_cameras_come_and_go(tmp_path: Path, broker: Mosquitto) -> None:
    home = {
        "host": broker.host,
        "port": broker.port,
        "home_assistant": {"enabled": True, "prefix": "home"},
    }
    dock, yard = (f"home/device/rfdetr-edge_test_{name}/config" for name in ("dock", "yard"))
    with Subscriber(broker.host, broker.port, "#") as subscriber:
        both = write_config(tmp_path, broker.port, [BUSY, {**BUSY, "id": "yard"}], mqtt=home)
        with running("run", "-c", str(both)) as daemon:
            subscriber.wait_for(f"{B}/status", "online")
            subscriber.wait_for(yard)
            wait_until(lambda: b'"count/' in subscriber.payloads(dock)[-1], "a label")
            announced = json.loads(subscriber.payloads(dock)[-1])
            topics = {
                part[key]
                for part in announced["components"].values()
                for key in ("state_topic", "command_topic")
                if key in part
            }
            told = len(subscriber.payloads(dock))
            subscriber.publish("home/status", "online")
            wait_until(lambda: len(subscriber.payloads(dock)) > told, "the announcement again")
            assert daemon.stop() == 0
        # Every topic that was announced is there, or listened to.
        assert topics - set(subscriber.topics()) == {f"{B}/dock/enabled/set"}
        subscriber.clear()
        with running("run", "-c", str(write_config(tmp_path, broker.port, [BUSY], mqtt=home))) as d:
            subscriber.wait_for(f"{B}/status", "online")
            assert d.stop() == 0
    assert broker.retained("home/#").keys() == {dock}
    assert not [topic for topic in broker.retained(f"{B}/#") if "/yard/" in topic]


def test_the_subscriber_of_the_readme(tmp_path: Path, broker: Mosquitto) -> None:
    """It runs as it stands, counts who is inside, and does nothing twice."""
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    code = next(part for part in text.split("```python\n")[1:] if "on_message" in part)
    code = code.split("```")[0].replace("1883", str(broker.port))
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    script = tmp_path / "bay_watch.py"
    script.write_text(code)

    def event(seq: int, kind: str, number: int, zones: list[str]) -> bytes:
        seen = {"label": f"person{number}", "zones": zones}
        body = {"session": "a", "seq": seq, "type": kind, "event_id": f"{number}", "object": seen}
        return json.dumps(body).encode()

    first = event(1, "new", 1, ["bay"])
    stream = [
        first,
        event(2, "new", 2, []),
        event(3, "update", 2, ["bay"]),
        first,  # again: it must not bring anybody back
        event(4, "end", 1, ["bay"]),
        first,
        event(5, "update", 2, []),
    ]
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, env=environ
    ) as program:
        try:
            wait_until(lambda: "bay-watch" in broker.log() and "SUBSCRIBE" in broker.log(), "it")
            with Subscriber(broker.host, broker.port, "#") as publisher:
                for payload in stream:
                    publisher.publish(EVENTS, payload)
            assert program.stdout is not None
            said = [program.stdout.readline().strip() for _ in range(5)]
        finally:
            program.kill()
    assert said == [
        "in the bay: ['person1']",
        "in the bay: ['person1']",
        "in the bay: ['person1', 'person2']",
        "in the bay: ['person2']",
        "in the bay: []",
    ]
