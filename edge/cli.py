"""The command line: ``rfdetr-edge run | demo | check-config | predict | bench | doctor``."""

import argparse
import errno
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from edge.bench.options import add_arguments as add_bench_arguments
from edge.openmp import spin_briefly
from edge.reload_request import ReloadRequest
from edge.report import EXIT_FAILED, report
from edge.stop import StopRequest
from edge.version import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (2 for wrong usage comes from argparse)."""
    arguments = _parser().parse_args(argv)
    spin_briefly()
    try:
        return int(arguments.command(arguments))
    except KeyboardInterrupt:
        print("rfdetr-edge: interrupted", file=sys.stderr)
        return EXIT_FAILED
    except Exception as error:
        return report(error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rfdetr-edge",
        description="RF-DETR-Seg on live cameras: mask summaries over MQTT.",
    )
    parser.add_argument("--version", action="version", version=f"rfdetr-edge {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, help_text: str, command: object) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help_text, description=help_text)
        added.set_defaults(command=command)
        return added

    run = add("run", "Run the daemon until SIGTERM or SIGINT.", _run)
    run.add_argument("-c", "--config", metavar="FILE", required=True)

    add("demo", "Run the daemon on a synthetic camera, a demo model and its own broker.", _demo)

    check = add("check-config", "Check a configuration without opening anything.", _check_config)
    check.add_argument("-c", "--config", metavar="FILE", required=True)

    predict = add("predict", "Run the model once, on a picture or a video.", _predict)
    predict.add_argument("source", metavar="IMAGE_OR_VIDEO", type=Path)
    predict.add_argument("--model", metavar="ID_OR_PATH", required=True)
    predict.add_argument("--model-type", metavar="TYPE", help="the variant of a checkpoint")
    predict.add_argument(
        "--labels", metavar="L", help="coco, a,b,c or a file with one label a line"
    )
    predict.add_argument("--confidence", type=float, default=0.5, help="default: 0.5")
    predict.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    predict.add_argument(
        "--output", metavar="FILE", type=Path, help="the annotated picture or video"
    )
    predict.add_argument(
        "--json", action="store_true", help="print the messages that a subscriber would get"
    )

    doctor = add("doctor", "Explain this machine, and what to mend.", _doctor)
    doctor.add_argument(
        "-c", "--config", metavar="FILE", help="also what it names: model, broker, cameras"
    )
    doctor.add_argument("--json", action="store_true", help="print one JSON object at the end")

    add_bench_arguments(add("bench", "Measure this machine, stage by stage.", _bench))
    return parser


def _run(arguments: argparse.Namespace) -> int:
    stop, reload = StopRequest(), ReloadRequest()
    stop.install()  # first, so that a signal counts from the start
    reload.install()

    from edge.config import load_config
    from edge.logs import configure

    reread = partial(load_config, Path(arguments.config))
    loaded = reread()
    configure(loaded.config.log.level, loaded.config.log.format)
    for warning in loaded.warnings:
        logging.getLogger(__name__).warning("%s", warning)

    from edge.daemon import Daemon

    try:
        daemon = Daemon(loaded.config, arguments.config, stop, reload=reload, reread=reread)
        return daemon.run()
    finally:
        stop.finished()


def _demo(_: argparse.Namespace) -> int:
    stop = StopRequest()
    stop.install()

    from edge.demo import run_demo

    try:
        return run_demo(stop)
    finally:
        stop.finished()


def _check_config(arguments: argparse.Namespace) -> int:
    from edge.config import load_config

    for warning in load_config(Path(arguments.config)).warnings:
        print(warning, file=sys.stderr)
    print(f"{arguments.config}: OK")
    return 0


def _predict(arguments: argparse.Namespace) -> int:
    from edge.predict import predict

    return _until_read_enough(predict, arguments)


def _bench(arguments: argparse.Namespace) -> int:
    # As Ctrl-C: what lies in temporary folders and runs in other processes goes with this one.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        from edge.bench.command import bench

        return _until_read_enough(bench, arguments)
    finally:
        signal.signal(signal.SIGTERM, before)


def _doctor(arguments: argparse.Namespace) -> int:
    from edge.doctor.command import doctor

    return _until_read_enough(doctor, arguments)


def _until_read_enough(
    command: Callable[[argparse.Namespace], int], arguments: argparse.Namespace
) -> int:
    """A reader who closes the pipe, as ``head`` does, has seen enough."""
    try:
        return command(arguments)
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.EPIPE:
            return 0
        print(f"rfdetr-edge: {error.strerror}", file=sys.stderr)
        return EXIT_FAILED
