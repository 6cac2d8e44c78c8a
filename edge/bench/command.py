"""``rfdetr-edge bench``: one part after the other, each shown as soon as it is measured."""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from edge.bench import report
from edge.bench.batches import measure_batches
from edge.bench.cameras import measure_cameras, measure_flow
from edge.bench.capture_load import measure_capture_load
from edge.bench.environments import interpreters
from edge.bench.machine import describe
from edge.bench.options import read_options
from edge.bench.other_work import OtherWork
from edge.bench.scene import make_footage
from edge.bench.stages import measure_frame_size, measure_stages
from edge.bench.subject import Subject, choose_model
from edge.bench.versus import check_comparable, measure_against
from edge.folders import default_cache_dir
from edge.inference.device import choose_device
from edge.report import EXIT_FAILED

TURNS = {"cpu": 30, "cuda": 300}
SCHEMA = "rfdetr-edge.bench/1"


def bench(arguments: argparse.Namespace) -> int:
    """Run the benchmark; 1 where a side of the comparison failed, else 0.

    Raises ``BenchError`` and what loading a model raises.
    """
    options = read_options(arguments)
    device = choose_device(options.device)
    machine = describe(device)  # first, for the load average
    others_at_work = OtherWork()
    pythons = interpreters(options, default_cache_dir())
    turns = options.turns or TURNS[device.type]
    with tempfile.TemporaryDirectory(prefix="rfdetr-edge-bench-") as name:
        folder = Path(name)
        show = _Show(options.as_json)
        show.say("preparing frames, video and model")
        footage = make_footage(options.size, options.seed, folder)
        choice = choose_model(options, footage.frames[0], folder)
        subject = Subject(choice, folder, max(options.cameras))
        if options.against:
            check_comparable(subject)
        setting = report.setting(options, subject, footage, turns)
        show.part("machine", machine, report.machine_lines(machine))
        show.part("setting", setting, report.setting_lines(setting))

        show.say("measuring the stages")
        stages, limit = measure_stages(subject, footage, turns)
        show.part("stages", stages, report.stage_lines(stages))
        show.part("limit", limit, report.limit_lines(limit))
        show.say("measuring the loop")
        flow = measure_flow(subject, footage.frames, turns)
        show.part("flow", flow, report.flow_lines(flow))
        show.say("measuring frame sizes")
        frame_size = measure_frame_size(subject, footage, turns)
        show.part("frame_size", frame_size, report.frame_size_lines(frame_size))
        show.say("measuring beside a capture thread")
        capture = measure_capture_load(subject, footage, turns)
        show.part("capture", capture, report.capture_lines(capture))
        show.say("measuring several cameras")
        cameras = [
            measure_cameras(subject, footage.frames, number, turns) for number in options.cameras
        ]
        show.part("cameras", cameras, report.camera_lines(cameras))
        show.say("measuring batches")
        batches = measure_batches(subject, turns)
        show.part("batches", batches, report.batch_lines(batches))
        failed = {}
        if options.against:
            versus = measure_against(subject, footage.frames[0], pythons, turns, show.say)
            show.part("against", versus, report.versus_lines(versus))
            failed = versus.failed
        others = others_at_work.cores()
        show.part("other_work_cores", others, report.other_work_lines(others))
        show.end()
    for reason in failed.values():
        print(f"rfdetr-edge: {reason}", file=sys.stderr)
    return EXIT_FAILED if failed else 0


class _Show:
    """Text as it comes, or one JSON object at the end; what is going on to stderr."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._parts: dict[str, Any] = {"schema": SCHEMA}
        self._shown = sys.stderr.isatty()

    def say(self, what: str) -> None:
        """A line that the next one replaces, for a person who waits."""
        if self._shown:
            print(f"\r\x1b[K{what} …", end="", file=sys.stderr, flush=True)

    def part(self, key: str, content: object, lines: Sequence[str]) -> None:
        self._clear()
        self._parts[key] = _plain(content)
        if not self._as_json:
            print("\n".join([*lines, ""]), flush=True)

    def end(self) -> None:
        self._clear()
        if self._as_json:
            print(json.dumps(self._parts, ensure_ascii=False, allow_nan=False))

    def _clear(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _plain(content: object) -> Any:
    if isinstance(content, list):
        return [_plain(item) for item in content]
    if is_dataclass(content) and not isinstance(content, type):
        return asdict(content)
    return content
