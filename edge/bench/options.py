"""What ``rfdetr-edge bench`` was asked for, checked before anything slow begins."""

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.bench.opponents import OPPONENTS
from edge.rfdetr.variants import VARIANTS
from edge.spelling import did_you_mean

DEFAULT_MODEL_TYPE = "rfdetr-seg-nano"
PRECISIONS, RESIZES = ("auto", "fp16", "bf16", "fp32"), ("plain", "antialias")
SMALLEST_SIDE, LARGEST_SIDE = 64, 3840
MOST_CAMERAS = 64
MOST_TURNS, LARGEST_SEED = 1_000_000, 2**32 - 1


class BenchError(Exception):
    """The benchmark cannot be run as asked; one sentence says why."""

    exit_code = 1


class UsageError(BenchError):
    exit_code = 2


@dataclass(frozen=True, slots=True)
class Options:
    """``model`` is None for seeded weights of ``model_type``; ``size`` is (width, height);
    ``turns`` None stands for the device's default; ``pythons`` names interpreters of opponents.
    """

    model: str | None
    model_type: str | None
    labels: str | None
    device: str
    precision: str
    resize: str
    size: tuple[int, int]
    turns: int | None
    cameras: tuple[int, ...]
    against: tuple[str, ...]
    pythons: Mapping[str, Path]
    install: bool
    torch_index: str | None
    as_json: bool
    seed: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument(
        "--model", metavar="ID_OR_PATH", help="default: seeded weights of --model-type"
    )
    parser.add_argument("--model-type", metavar="TYPE", help=f"default: {DEFAULT_MODEL_TYPE}")
    parser.add_argument(
        "--labels", metavar="L", help="coco, a,b,c or a file, where the checkpoint names none"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--precision", default="auto", help=", ".join(PRECISIONS))
    parser.add_argument("--resize", default="plain", help=" or ".join(RESIZES))
    parser.add_argument(
        "--size", metavar="WxH", default="1920x1080", help="of the frames; default: 1920x1080"
    )
    parser.add_argument(
        "--turns", metavar="N", type=int, help="frames a figure; default: 30 on a CPU, 300 on CUDA"
    )
    parser.add_argument(
        "--cameras", metavar="LIST", default="1,2,4,8", help="how many at once; default: 1,2,4,8"
    )
    parser.add_argument(
        "--against", metavar="LIST", default="", help=f"compare with {', '.join(OPPONENTS)}"
    )
    parser.add_argument(
        "--python",
        metavar="NAME=PATH",
        action="append",
        default=[],
        help="the Python interpreter that has NAME, one of those in --against",
    )
    parser.add_argument(
        "--install", action="store_true", help="make the missing environments of --against"
    )
    parser.add_argument(
        "--torch-index", metavar="URL", help="where --install looks for torch besides pip's own"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.add_argument("--seed", type=int, default=0, help="of frames and weights; default: 0")


def read_options(arguments: argparse.Namespace) -> Options:
    """Raises ``UsageError``."""
    against = tuple(dict.fromkeys(name for name in arguments.against.split(",") if name))
    for name in against:
        _known("--against", name, OPPONENTS)
    _known("--precision", arguments.precision, PRECISIONS)
    _known("--resize", arguments.resize, RESIZES)
    if arguments.model_type is not None:
        _known("--model-type", arguments.model_type, VARIANTS)
    if arguments.turns is not None and not 1 <= arguments.turns <= MOST_TURNS:
        raise UsageError(f"--turns is {arguments.turns}, not 1 to {MOST_TURNS}")
    if not 0 <= arguments.seed <= LARGEST_SEED:
        raise UsageError(f"--seed is {arguments.seed}, not 0 to {LARGEST_SEED}")
    if not against and (arguments.install or arguments.torch_index is not None):
        raise UsageError("--install and --torch-index are for --against, which names nobody")
    if arguments.labels is not None and arguments.model is None:
        raise UsageError("--labels is for a --model")
    return Options(
        model=arguments.model,
        model_type=arguments.model_type,
        labels=arguments.labels,
        device=arguments.device,
        precision=arguments.precision,
        resize=arguments.resize,
        size=_size(arguments.size),
        turns=arguments.turns,
        cameras=_cameras(arguments.cameras),
        against=against,
        pythons=_pythons(arguments.python, against),
        install=arguments.install,
        torch_index=arguments.torch_index,
        as_json=arguments.json,
        seed=arguments.seed,
    )


def _known(option: str, value: str, known: Sequence[str] | Mapping[str, object]) -> None:
    if value not in known:
        hint = did_you_mean(value, known) or f", not one of {', '.join(known)}"
        raise UsageError(f"{option} is {value!r}{hint}")


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if match is None:
        raise UsageError(f"--size is {text!r}, not WIDTHxHEIGHT, for example 1920x1080")
    width, height = int(match[1]), int(match[2])
    for side in (width, height):
        # H.264 stores colour for blocks of 2x2 pixels.
        if not SMALLEST_SIDE <= side <= LARGEST_SIDE or side % 2:
            raise UsageError(
                f"--size is {text!r}: sides are even numbers of {SMALLEST_SIDE} to {LARGEST_SIDE}"
            )
    return width, height


def _cameras(text: str) -> tuple[int, ...]:
    numbers = text.split(",")
    if not all(re.fullmatch(r"\d{1,3}", number) for number in numbers) or not all(
        1 <= int(number) <= MOST_CAMERAS for number in numbers
    ):
        raise UsageError(f"--cameras is {text!r}, not a list of 1 to {MOST_CAMERAS}, like 1,2,4,8")
    return tuple(dict.fromkeys(int(number) for number in numbers))


def _pythons(given: Sequence[str], against: Sequence[str]) -> dict[str, Path]:
    pythons: dict[str, Path] = {}
    for text in given:
        name, separator, path = text.partition("=")
        if not separator or not path:
            raise UsageError(f"--python is {text!r}, not NAME=PATH")
        _known("--python", name, OPPONENTS)
        if name not in against:
            raise UsageError(f"--python names {name}, which is not in --against")
        if not os.access(path, os.X_OK) or Path(path).is_dir():
            raise UsageError(f"--python {name}: {path} is not a program that can be run")
        # Not resolved: a virtual environment's interpreter is a link, and is known by its place.
        pythons[name] = Path(path).absolute()
    return pythons
