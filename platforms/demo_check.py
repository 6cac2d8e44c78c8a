"""Runs ``rfdetr-edge demo`` beside this interpreter and looks at it as a subscriber would.

    PYTHON platforms/demo_check.py [--frames 20]

Every message is validated with the JSON Schemas that the package ships, what was seen is compared
with what the synthetic camera drew, and SIGTERM has to end the demo with ``stopped`` and code 0.
The interpreter's environment needs the extras opencv and demo, and jsonschema. Prints one line of
figures; exit code 1 and one line of reason where something is wrong.
"""

import argparse
import json
import platform
import queue
import re
import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from truth import Truth

from edge.capture.shapes import ShapesCamera

START_DEADLINE_S = 300.0  # importing torch takes 10 s under emulation
FRAMES_DEADLINE_S = 600.0
STOP_DEADLINE_S = 60.0
DEMO_CAMERA = {"seed": 7, "objects": 5, "min_size": 40}  # edge/data/demo.yaml
WHERE = re.compile(r"mosquitto_sub -h (\S+) -p (\d+) -t '(\S+)/#'")

Message = tuple[str, bytes, float]  # topic, body, time.monotonic() of its arrival


class DemoError(Exception):
    """What is wrong with the demo; one sentence."""


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=20, help="frame messages to wait for")
    wanted = parser.parse_args().frames
    command = [Path(sys.executable).with_name("rfdetr-edge"), "demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        try:
            print(check(demo, wanted))
        except DemoError as failure:
            print(f"demo check: {failure}", file=sys.stderr)
            return 1
        finally:
            demo.kill()  # harmless where it has ended
    return 0


def check(demo: "subprocess.Popen[str]", wanted: int) -> str:
    """One line of figures; raises ``DemoError``."""
    started = time.monotonic()
    host, port, base_topic = where_to_look(demo)
    arrived: queue.Queue[Message] = queue.Queue()
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda client, *_: client.subscribe(f"{base_topic}/#", qos=1)
    client.on_message = lambda _, __, m: arrived.put((m.topic, m.payload, time.monotonic()))
    client.connect(host, port)
    client.loop_start()
    try:
        messages = until(arrived, demo, "/shapes/frame", wanted, FRAMES_DEADLINE_S)
        demo.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        messages += until(arrived, demo, "/demo/status", 1, STOP_DEADLINE_S, body=b"stopped")
        code = demo.wait(STOP_DEADLINE_S)
        stopped = time.monotonic()
    finally:
        client.loop_stop()
    if code != 0:
        raise DemoError(f"SIGTERM ended it with exit code {code}")

    schemas = {kind: validator(f"{kind}-1.json") for kind in ("frame", "event")}
    frames = [validated(schemas["frame"], m) for m in messages if m[0].endswith("/frame")]
    events = [validated(schemas["event"], m) for m in messages if m[0].endswith("/events")]
    score = Truth(ShapesCamera(**DEMO_CAMERA)).judge({m["frame"]["id"]: m for m in frames})
    if score.recall < 0.8 or score.precision < 0.8:
        raise DemoError(
            f"recall {score.recall:.2f} and precision {score.precision:.2f} are too low"
        )

    import torch  # late: this process is to be small while the demo runs

    at = [time_s for topic, _, time_s in messages if topic.endswith("/frame")]
    infer_ms = sorted(m["latency_ms"]["infer"] for m in frames)[len(frames) // 2]
    return (
        f"Python {platform.python_version()}, {platform.machine()}, torch {torch.__version__}:"
        f" first frame message {at[0] - started:.1f} s after the start, {len(frames)} in"
        f" {at[-1] - at[0]:.1f} s (inference {infer_ms:.0f} ms at the median),"
        f" {len(events)} events, all valid; {score.right} objects right, {score.wrong} wrong,"
        f" {score.missed} missed; stopped with 0 in {stopped - asked:.1f} s"
    )


def where_to_look(demo: "subprocess.Popen[str]") -> tuple[str, int, str]:
    """Broker's host and port, and the base topic, from what the demo prints."""
    assert demo.stdout is not None
    alarm = signal.signal(signal.SIGALRM, lambda *_: demo.kill())  # its pipe closes, our loop ends
    signal.alarm(int(START_DEADLINE_S))
    try:
        for line in demo.stdout:
            if found := WHERE.search(line):
                return found[1], int(found[2]), found[3]
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, alarm)
    raise DemoError("it ended, or said for too long nothing of where its messages are")


def until(
    arrived: "queue.Queue[Message]",
    demo: "subprocess.Popen[str]",
    topic_end: str,
    count: int,
    deadline_s: float,
    *,
    body: bytes | None = None,
) -> list[Message]:
    """All messages up to the ``count``-th whose topic ends so (and has this body)."""
    messages: list[Message] = []
    end = time.monotonic() + deadline_s
    while count:
        try:
            message = arrived.get(timeout=1.0)
        except queue.Empty:
            if demo.poll() is not None:
                raise DemoError(f"it has ended, {count} {topic_end} too early") from None
            if time.monotonic() > end:
                raise DemoError(f"no {topic_end} within {deadline_s:g} s") from None
            continue
        messages.append(message)
        count -= message[0].endswith(topic_end) and body in (None, message[1])
    return messages


def validator(name: str) -> Any:
    schema = json.loads(resources.files("edge.events.schema").joinpath(name).read_text())
    return jsonschema.Draft202012Validator(schema)


def validated(schema: Any, message: Message) -> Any:
    body = json.loads(message[1])
    try:
        schema.validate(body)
    except jsonschema.ValidationError as error:
        raise DemoError(f"a message of {message[0]} is invalid: {error.message}") from error
    return body


if __name__ == "__main__":
    sys.exit(main())
