"""What every side of a comparison does: load once, then run turns whenever it is told to.

Commands come as lines of JSON on stdin, answers go as lines of JSON to the original stdout; what
libraries print goes to stderr. Between commands a side blocks in a read and costs nothing.

    {"run": "frames", "turns": 3}    →  {"preprocess": [0.004, 0.003, 0.004], "forward": […],
                                         "postprocess": […], "whole": […],
                                         "found": 20, "rss_mib": 612.0}
    {"run": "objects", "turns": 3}      the same, with given network outputs in place of the forward

The first answer comes unasked, once the side is warm: {"ready": {…}}. At the end of stdin it exits.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

Times = tuple[float, float, float, float]  # seconds, of:
STAGES = ("preprocess", "forward", "postprocess", "whole")
WARM_UP = 3  # a traced network is compiled in its second run


class Side(Protocol):
    """One package with its model loaded."""

    versions: dict[str, str]

    def run(self, constructed: bool) -> tuple[Times, int]:
        """One frame: where its time went, and the number of objects found in it.

        With ``constructed`` the network's outputs are the given ones.
        """


def serve(load: Callable[[dict[str, Any]], Side]) -> None:
    """Run the side that ``load`` makes from the settings, a JSON object as the only argument."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(content: dict[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    start = time.perf_counter()
    settings = json.loads(sys.argv[1])
    side = load(settings)
    for _ in range(WARM_UP):
        for constructed in (False, True):
            side.run(constructed)
    load_s = time.perf_counter() - start
    answer({"ready": {"versions": side.versions, "load_s": load_s, "rss_mib": rss_mib()}})
    for line in sys.stdin:
        command = json.loads(line)
        constructed = command["run"] == "objects"
        side.run(constructed)  # not counted: meanwhile the caches were others'
        turns = [side.run(constructed) for _ in range(command["turns"])]
        seconds = zip(*(times for times, _ in turns), strict=True)
        columns = dict(zip(STAGES, seconds, strict=True))
        answer({**columns, "found": turns[-1][1], "rss_mib": rss_mib()})


def rss_mib() -> float:
    """The resident memory of this process."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))
