"""Time to ready and memory of ``rfdetr-edge run``, beside the bare imports of torch and of others.

    python bench/startup.py [--against PYTHON:MODULE ...] [--turns 5]

``--against`` names another environment's interpreter and a module to import there, for example
``.venv-parity/bin/python:rfdetr``. All sides take turns; medians are printed. Memory is the
resident set (VmRSS) right after the import, and of the daemon once it has inferred frames of a
640x360 synthetic camera for a few seconds.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IMPORT = (
    "import sys, time, json; start = time.perf_counter(); __import__(sys.argv[1]);"
    "took = time.perf_counter() - start;"
    "rss = next(l for l in open('/proc/self/status') if l.startswith('VmRSS'));"
    "print(json.dumps([took, int(rss.split()[1]) / 1024]))"
)
CONFIG = """\
node: bench
state_dir: {folder}
model: {{id: rfdetr-seg-demo, device: cpu}}
cameras: [{{id: shapes, source: "shapes:?seed=7&objects=5"}}]
mqtt: {{port: 9}}
http: {{port: 0}}
"""
SETTLE_S = 4


def import_cost(python: str, module: str) -> tuple[float, float]:
    """Seconds and MiB of importing ``module`` in a new process."""
    made = subprocess.run(
        [python, "-W", "ignore", "-c", IMPORT, module],
        capture_output=True,
        text=True,
        check=True,
    )
    took, rss = json.loads(made.stdout.splitlines()[-1])
    return took, rss


def daemon_cost() -> tuple[float, float]:
    """Seconds from the start of the process to ``ready``, and MiB while it runs."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "bench.yaml"
        config.write_text(CONFIG.format(folder=folder))
        start = time.perf_counter()
        daemon = subprocess.Popen(
            [sys.executable, "-m", "edge", "run", "-c", str(config)],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert daemon.stderr is not None
        for line in daemon.stderr:
            if line.rstrip().endswith("ready"):
                break
        ready_s = time.perf_counter() - start
        time.sleep(SETTLE_S)
        status = Path(f"/proc/{daemon.pid}/status").read_text()
        daemon.terminate()
        daemon.communicate()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    assert found is not None
    return ready_s, int(found[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--against", action="append", default=[], metavar="PYTHON:MODULE")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    sides = {"import torch": lambda: import_cost(sys.executable, "torch")}
    for other in options.against:
        python, module = other.rsplit(":", 1)
        sides[f"import {module}"] = lambda p=python, m=module: import_cost(p, m)
    sides["rfdetr-edge run, to ready"] = daemon_cost
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for turn in range(options.turns + 1):
        for name, measure in sides.items():
            cost = measure()
            if turn:  # the first turn warms the disk cache
                costs[name].append(cost)
    for name, measured in costs.items():
        seconds, mib = (statistics.median(column) for column in zip(*measured, strict=True))
        print(f"{name:28} {seconds:6.2f} s {mib:6.0f} MiB")


if __name__ == "__main__":
    main()
