"""How long cameras go without an inferred frame while the daemon is reloaded.

    python bench/reload.py [--model ID_OR_PATH] [--cameras 2] [--fps 10] [--turns 5]

Each turn writes the checkpoint anew (it is another file with the same weights) and asks for a
reload, so that the model is loaded, warmed up and swapped beside the running one; every other turn
adds and removes a camera as well. The gap is between the capture times of two frames of one camera
that were inferred one after the other; the quiet time before shows what gap the machine has anyway.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import paho.mqtt.client as paho
import yaml
from paho.mqtt.enums import CallbackAPIVersion

from edge.demo_broker import DemoBroker
from edge.model_source import DEMO_CHECKPOINT, DEMO_ID

QUIET_S = 5.0
DEADLINE_S = 300.0


class Frames:
    """The capture times of every camera's frames, as a subscriber sees them."""

    def __init__(self, port: int) -> None:
        self.times: dict[str, list[float]] = defaultdict(list)
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.subscribe("rfdetr-edge/bench/+/frame")
        self._client.loop_start()

    def _on_message(self, client: object, userdata: object, message: paho.MQTTMessage) -> None:
        frame = json.loads(message.payload)
        self.times[frame["camera"]].append(frame["time"]["uptime_s"])

    def worst_gap_s(self, since_s: float) -> float:
        """Over all cameras that are there the whole time, from ``since_s`` (uptime) on."""
        worst = 0.0
        for camera, times in self.times.items():
            if camera.startswith("camera"):
                late = [at_s for at_s in times if at_s >= since_s]
                worst = max([worst, *(b - a for a, b in pairwise(late))])
        return worst

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Log:
    """The daemon's stderr; `wait_for` blocks until a line has come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._lines: list[str] = []
        self._seen = 0
        self._changed = threading.Condition()
        threading.Thread(target=self._read, args=(process,), daemon=True).start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            with self._changed:
                self._lines.append(line.rstrip())
                self._changed.notify_all()

    def wait_for(self, part: str) -> None:
        def found() -> bool:
            for number, line in enumerate(self._lines[self._seen :], self._seen + 1):
                if "refused" in line:
                    raise SystemExit("\n".join(self._lines[-5:]))
                if part in line:
                    self._seen = number
                    return True
            return False

        with self._changed:
            if not self._changed.wait_for(found, DEADLINE_S):
                raise SystemExit(f"no {part!r}:\n" + "\n".join(self._lines[-20:]))


def uptime_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default=str(DEMO_CHECKPOINT), metavar="PATH")
    parser.add_argument("--type", default=DEMO_ID)
    parser.add_argument("--cameras", type=int, default=2)
    parser.add_argument("--fps", type=float, default=10)
    parser.add_argument("--turns", type=int, default=5)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="rfdetr-edge-bench-") as name:
        folder = Path(name)
        weights, file = folder / "model.pth", folder / "edge.yaml"
        shutil.copy(arguments.model, weights)
        broker = DemoBroker(18830)
        port = broker.start()
        source = f"shapes:?fps={arguments.fps:g}&objects=5&seed="
        cameras = [
            {"id": f"camera-{n}", "source": source + str(n), "max_frame_age_ms": 5000}
            for n in range(arguments.cameras)
        ]
        guest = {"id": "guest", "source": source + "99"}
        config = {
            "node": "bench",
            "state_dir": name,
            "model": {"path": str(weights), "type": arguments.type},
            "mqtt": {"port": port},
            "http": {"port": 0},
        }

        def write(*more: dict[str, object]) -> None:
            file.write_text(yaml.safe_dump({**config, "cameras": [*cameras, *more]}))

        write()
        frames = Frames(port)
        process = subprocess.Popen(
            [sys.executable, "-m", "edge", "run", "-c", str(file)],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            log = Log(process)
            for _ in cameras:
                log.wait_for("delivers")
            time.sleep(1)
            began_s = uptime_s()
            time.sleep(QUIET_S)
            quiet_ms = 1000 * frames.worst_gap_s(began_s)
            gaps_ms, took_s = [], []
            for turn in range(arguments.turns):
                write(*([guest] if turn % 2 else []))
                shutil.copy(weights, folder / "new.pth")
                os.replace(folder / "new.pth", weights)
                began_s = uptime_s()
                process.send_signal(signal.SIGHUP)
                log.wait_for("reloaded")
                took_s.append(uptime_s() - began_s)
                time.sleep(1.5)  # the frames after it
                gaps_ms.append(1000 * frames.worst_gap_s(began_s - 0.5))
        finally:
            process.terminate()
            process.wait(20)
            frames.stop()
            broker.stop()

    allowed_ms = max(500.0, 3000 / arguments.fps)
    print(f"{arguments.cameras} cameras at {arguments.fps:g} frames/s, {arguments.type}")
    print(f"worst gap of {QUIET_S:g} quiet seconds  {quiet_ms:6.0f} ms")
    print(
        f"worst gap of {arguments.turns} reloads        median {statistics.median(gaps_ms):.0f},"
        f" most {max(gaps_ms):.0f} ms (at most {allowed_ms:.0f} are allowed)"
    )
    print(f"from SIGHUP to the swap          median {statistics.median(took_s):.2f} s")
    if max(gaps_ms) > allowed_ms:
        raise SystemExit("a camera went too long without an inferred frame")


if __name__ == "__main__":
    main()
