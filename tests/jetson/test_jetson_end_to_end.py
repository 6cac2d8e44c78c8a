"""The daemon on a board that gets hot and cools down, as its subscribers and operators see it."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from daemon_process import DEADLINE_S, get, get_json, running, write_config
from mosquitto import Mosquitto, Subscriber
from prometheus_client.parser import text_string_to_metric_families
from trees import orin

pytestmark = pytest.mark.e2e

RUN_ON_BOARD = (str(Path(__file__).with_name("run_on_board.py")),)
CAMERA = {"id": "dock", "source": "shapes:?seed=1&fps=10&size=320x180"}
ROOT = "rfdetr-edge/test"
CAP = "rfdetr_edge_inference_rate_cap_hertz"
INFERRED = "rfdetr_edge_frames_inferred_total"


def samples(page: str) -> dict[str, float]:
    """What is scraped, by name; of one camera, there is one series a name here."""
    families = text_string_to_metric_families(get(f"{page}metrics")[1].decode())
    return {sample.name: sample.value for family in families for sample in family.samples}


def wait_until(seen: Callable[[], bool]) -> None:
    """Ask the daemon's page again and again; it tells nobody when it changes."""
    end = time.monotonic() + DEADLINE_S
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.1)


@contextmanager
def service_manager(address: Path) -> Iterator[list[bytes]]:
    """Listens as systemd does; what it was told grows in the list."""
    told: list[bytes] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(address))

        def listen() -> None:
            while message := listening.recv(4096):
                told.append(message)

        thread = threading.Thread(target=listen)
        thread.start()
        yield told
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(address))
        thread.join(DEADLINE_S)


def test_a_hot_board_is_spared_and_comes_back(tmp_path: Path, broker: Mosquitto) -> None:
    board = orin(tmp_path / "board")
    config = write_config(tmp_path, broker.port, [CAMERA])
    with (
        service_manager(tmp_path / "notify") as told,
        Subscriber(broker.host, broker.port, f"{ROOT}/#") as subscriber,
    ):
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with running(str(config), str(board.root), environ=environ, program=RUN_ON_BOARD) as daemon:
            page = daemon.page()
            subscriber.wait_for(f"{ROOT}/dock/status", "online")
            wait_until(lambda: samples(page)[INFERRED] > 20)
            assert CAP not in samples(page)
            assert samples(page)["rfdetr_edge_jetson_gpu_clock_hertz"] == 306e6

            board.heat(95.5, "gpu")
            daemon.wait_for_line("GPU at 95.5 °C, throttling at 99: inference lowered to")
            subscriber.wait_for(f"{ROOT}/dock/status", "degraded")
            wait_until(lambda: any(b"; GPU at 95.5" in line for line in told))
            wait_until(lambda: samples(page)[CAP] < 4)
            camera = get_json(f"{page}cameras")[1]["cameras"][0]
            assert camera["state"] == "degraded"
            assert camera["reason"].startswith("GPU at 95.5 °C, throttling at 99")
            assert get_json(f"{page}readyz")[0] == 200
            subscriber.clear()
            before = samples(page)[INFERRED]
            subscriber.wait_until(lambda: len(subscriber.payloads(f"{ROOT}/heartbeat")) > 3)
            assert samples(page)[INFERRED] - before < 20, "in three seconds, of 30 captured ones"
            beat = json.loads(subscriber.payloads(f"{ROOT}/heartbeat")[-1])
            assert beat["cameras"]["dock"]["state"] == "degraded"

            board.heat(50.0)
            daemon.wait_for_line("inference raised to")
            daemon.wait_for_line("inference at its full rate again")
            subscriber.wait_for(f"{ROOT}/dock/status", "online")
            assert CAP not in samples(page)
            assert daemon.stop() == 0
    degraded = [line for line in daemon.lines if "lowered" in line]
    assert all(" WARNING " in line for line in degraded)
    statuses = subscriber.payloads(f"{ROOT}/dock/status")
    assert statuses[0] == b"online", "between degraded and online it was nothing else"
