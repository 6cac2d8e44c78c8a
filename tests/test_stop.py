"""How signals ask a process to stop, in a process of their own."""

import signal
import subprocess
import sys

SCRIPT = """
import sys, threading, time
from edge.stop import StopRequest
stop = StopRequest()
stop.install()
print("installed", flush=True)
while not stop.asked:
    time.sleep(0.01)
print("asked", flush=True)
time.sleep(20)
"""


def start() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "installed\n"
    return process


def test_a_second_signal_leaves_at_once():
    process = start()
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    assert process.stdout.readline() == "asked\n"
    try:
        process.wait(0.4)  # a later signal is another one
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=10)
    assert process.returncode == 1
    assert said == "rfdetr-edge: second signal, leaving at once\n"


def test_one_signal_that_comes_twice_is_one():
    process = start()
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    try:
        process.wait(0.5)
        raise AssertionError("it left at once")
    except subprocess.TimeoutExpired:
        process.kill()
    process.communicate()
