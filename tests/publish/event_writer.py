"""A daemon's events without its cameras, as a process of its own: appends until it is killed.

``python event_writer.py PORT STATE_DIR SESSION``. Like the daemon it closes first what an earlier
session has left open.
"""

import sys
import threading
from itertools import count
from pathlib import Path

from spooling import event

from edge.clock import Clock
from edge.config import MqttSettings, SpoolSettings
from edge.metrics import Metrics
from edge.publish.delivery import EventDelivery
from edge.publish.mqtt import Publisher
from edge.publish.topics import Topics

TOPICS = Topics("rfdetr-edge", "dock-7")
CAMERAS = ("dock", "gate", "yard")


def main(port: int, state_dir: Path, session: str) -> None:
    clock, metrics = Clock(), Metrics()
    settings = MqttSettings(host="127.0.0.1", port=port, client_id="rfdetr-edge-dock-7")
    publisher = Publisher(settings, TOPICS, metrics, clock, state_dir)
    publisher.settle()
    publisher.start()
    spool = SpoolSettings(path=state_dir / "spool.db", replay_rate=1e6)
    delivery = EventDelivery(spool, session, publisher, TOPICS, metrics, clock)
    for left in delivery.left_open():
        delivery.append(event("end", left.event_id, left.camera, session=session))
    threading.Thread(target=delivery.run, name="spool", daemon=True).start()
    pace = threading.Event()
    for n in count():
        camera, number = CAMERAS[n % 3], n // 3
        name = f"{session}-{camera}-{number // 4}"
        what = ("new", "update", "update", "end")[number % 4]
        delivery.append(event(what, name, camera, session=session))
        pace.wait(0.001)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
