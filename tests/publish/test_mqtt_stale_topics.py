"""What a daemon that died or was configured anew leaves on the broker, and who clears it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mosquitto import Mosquitto, Subscriber
from publishing import DOCK, TOPICS, Said, go

from edge.publish.mqtt import Publisher

pytestmark = pytest.mark.e2e

MakePublisher = Callable[..., Publisher]
StartMosquitto = Callable[..., Mosquitto]

DAEMON = """
import sys
from pathlib import Path
from edge.clock import Clock
from edge.config import MqttSettings
from edge.metrics import Metrics
from edge.publish.mqtt import Publisher
from edge.publish.topics import Topics

port, state_dir, settle, *cameras = sys.argv[1:]
settings = MqttSettings(port=int(port), client_id="rfdetr-edge-dock-7")
topics = Topics("rfdetr-edge", "dock-7")
publisher = Publisher(settings, topics, Metrics(), Clock(), Path(state_dir))
for camera in cameras:
    publisher.publish_retained(topics.camera_status(camera), "online" if settle else "online 2")
if settle:
    publisher.settle()
publisher.start()
sys.stdin.readline()
publisher.settle()
print("done", flush=True)
sys.stdin.readline()
"""


class Daemon:
    """A publisher in a process of its own, so that it can be killed."""

    def __init__(self, broker: Mosquitto, folder: Path, cameras: list[str], settle: bool) -> None:
        arguments = [str(broker.port), str(folder / "state"), "yes" if settle else "", *cameras]
        self._process = subprocess.Popen(
            [sys.executable, "-c", DAEMON, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def settle(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"settle\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == b"done\n"

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def start_daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    daemons: list[Daemon] = []

    def start(broker: Mosquitto, cameras: list[str], settle: bool = True) -> Daemon:
        daemons.append(Daemon(broker, tmp_path, cameras, settle))
        return daemons[-1]

    yield start
    for daemon in daemons:
        daemon.kill()


StartDaemon = Callable[..., Daemon]


def test_killed_daemon_is_offline(broker: Mosquitto, start_daemon: StartDaemon):
    with Subscriber(broker.host, broker.port) as subscriber:
        daemon = start_daemon(broker, ["dock"])
        subscriber.wait_for(TOPICS.status, "online")
        daemon.kill()
        subscriber.wait_for(TOPICS.status, "offline")
    assert broker.retained()[TOPICS.status] == b"offline"


def test_camera_that_left_the_configuration_is_cleared_before_online(
    broker: Mosquitto, make_publisher: MakePublisher
):
    yard = TOPICS.camera_status("yard")
    before = make_publisher(broker)
    before.publish_retained(yard, "online")
    with Subscriber(broker.host, broker.port) as subscriber:
        go(before)
        subscriber.wait_for(TOPICS.status, "online")
        before.stop()
        subscriber.wait_for(TOPICS.status, "stopped")
        assert yard in broker.retained()
        subscriber.clear()
        go(make_publisher(broker))
        subscriber.wait_for(TOPICS.status, "online")
        assert subscriber.topics() == [TOPICS.info, DOCK, yard, TOPICS.status]
        assert subscriber.payloads(yard) == [b""]
    assert set(broker.retained()) == {TOPICS.info, DOCK, TOPICS.status}


def test_crash_before_the_clear_was_acknowledged_clears_again(
    start_mosquitto: StartMosquitto,
    make_publisher: MakePublisher,
    start_daemon: StartDaemon,
    tmp_path: Path,
):
    yard = TOPICS.camera_status("yard")
    broker = start_mosquitto(persistence=True)
    with Subscriber(broker.host, broker.port) as subscriber:
        first = start_daemon(broker, ["dock", "yard"])
        subscriber.wait_for(TOPICS.status, "online")
        first.kill()
        subscriber.wait_for(TOPICS.status, "offline")
        second = start_daemon(broker, ["dock"], settle=False)
        subscriber.wait_for(DOCK, "online 2")
        broker.freeze()
        second.settle()  # the clear leaves and finds nobody
        second.kill()
    record = tmp_path / "state" / "retained.json"
    assert yard in record.read_text()
    broker.thaw()
    third = go(make_publisher(broker))
    with Subscriber(broker.host, broker.port) as subscriber:
        subscriber.wait_for(TOPICS.status, "online")
        third.stop()
    assert yard not in broker.retained()
    assert yard not in record.read_text()


def test_forgotten_topic_is_cleared(broker: Mosquitto, make_publisher: MakePublisher):
    publisher = go(make_publisher(broker))
    with Subscriber(broker.host, broker.port) as subscriber:
        subscriber.wait_for(TOPICS.status, "online")
        publisher.forget_retained(DOCK)
        subscriber.wait_for(DOCK, "")
    assert DOCK not in broker.retained()


def test_topic_forgotten_while_disconnected_is_cleared_on_return(
    start_mosquitto: StartMosquitto, make_publisher: MakePublisher, said: Said
):
    broker = start_mosquitto(persistence=True)
    publisher = go(make_publisher(broker))
    with Subscriber(broker.host, broker.port) as subscriber:
        subscriber.wait_for(TOPICS.status, "online")
    broker.stop()
    said.wait_for("lost the connection")
    publisher.forget_retained(DOCK)
    broker.start()
    said.wait_for("connected to the broker", count=2)
    publisher.stop()
    assert DOCK not in broker.retained()


def test_what_a_lost_record_does_not_know_is_cleared_too(
    broker: Mosquitto, make_publisher: MakePublisher
) -> None:
    """A container without a volume starts anew; counts of before must not stand beside `online`."""
    left = [
        f"{TOPICS.root}/dock/count/person",
        f"{TOPICS.root}/dock/zone/bay/person",
        f"{TOPICS.root}/dock/line/gate/person",
        f"{TOPICS.root}/yard/status",
        f"{TOPICS.root}/yard/enabled/state",
    ]
    others = "rfdetr-edge/another-node/dock/count/person"
    with Subscriber(broker.host, broker.port) as neighbour:
        for topic in [*left, others, TOPICS.camera_status("dock")]:
            neighbour._client.publish(topic, "3", qos=1, retain=True).wait_for_publish(10)
        publisher = make_publisher(broker)
        publisher.publish_retained(TOPICS.camera_status("dock"), "online")
        publisher.settle()
        publisher.start()
        for topic in left:
            neighbour.wait_for(topic, "")
        neighbour.wait_for(TOPICS.status, "online")
        neighbour.catch_up()
    retained = broker.retained()
    assert not set(left) & set(retained)
    assert retained[others] == b"3"
    assert retained[TOPICS.camera_status("dock")] == b"online"
