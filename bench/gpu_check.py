"""Everything about the CUDA path that only a GPU can tell, in one sitting.

    python bench/gpu_check.py [--write docs/gpu.md] [--minutes 10] [--model-type TYPE ...]
                              [--against NAME=PYTHON ...] [--only NAME ...] [--list]

Each check ends as ok, fail or skipped, with one line of findings; one that fails stops no other.
Weights are those of the demo model where detections are compared, else seeded: no download.
Exit code 1 where a check failed, or where there is no GPU.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import gpu_correctness as correctness
import gpu_speed as speed
import torch
from gpu_facts import device_lines
from gpu_sitting import FAIL, Check, Sitting, run, table

from edge.rfdetr.variants import VARIANTS

BEGIN, END = "<!-- gpu results -->", "<!-- end of gpu results -->"
MODELS = ["rfdetr-seg-nano", "rfdetr-seg-small", "rfdetr-seg-medium", "rfdetr-seg-preview"]


def checks(models: Sequence[str]) -> list[Check]:
    """All of them; the first of ``models`` is the one that most use."""
    bars = f"{speed.WHOLE_BAR:g} times a frame, {speed.FORWARD_BAR:g} times the forward"
    return [
        Check("environment", "attention's kernels, kernels a frame", correctness.environment),
        Check("precision", "eager detections against the CPU's in fp32", correctness.precision),
        Check("replay", "graph against eager", correctness.replay),
        Check("swap", "other weights in place, and back", correctness.swap),
        Check("waits", "nothing waits but for one event; pinned memory", correctness.waits),
        Check("allocations", "nothing is allocated from frame to frame", correctness.allocations),
        Check("beside-others", "capture while other threads use CUDA", correctness.beside_others),
        Check("sizes", "other frame sizes, and larger than expected", correctness.sizes),
        Check("out-of-memory", "the daemon on a full device", correctness.out_of_memory),
        Check("streams", "races between streams, eagerly", correctness.streams),
        Check("busy", f"device busy while frames wait, at least {speed.BUSY_BAR}", speed.busy),
        *(Check(f"speed-{name.rpartition('-')[2]}", name, speed.speed_of(name)) for name in models),
        Check("copies", "ways to and from the device", speed.copies),
        Check(
            "frame-size",
            f"1080p against own size, at most {speed.FRAME_SIZE_BAR}",
            speed.frame_size,
        ),
        Check("depth", "two frames in flight against one", speed.depth),
        Check("batches", "bare network on 1, 2 and 4 pictures, one graph", speed.batches),
        Check("soak", "10,000 frames", speed.soak),
        Check("sanitizer", "compute-sanitizer on replays", correctness.sanitizer),
        Check("opponents", bars, speed.opponents),
    ]


def write(file: Path, text: str) -> None:
    """Put ``text`` between the markers in ``file``. Raises ``ValueError`` where they are not."""
    page = file.read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{file} has no {BEGIN} with {END} behind it")
    file.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Check the CUDA path on this machine's GPU.")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this page")
    parser.add_argument("--minutes", type=float, default=10, help="at most; default: 10")
    parser.add_argument(
        "--model-type",
        nargs="+",
        default=MODELS,
        choices=VARIANTS,
        metavar="TYPE",
        help=f"the first is the one most checks use; default: {' '.join(MODELS)}",
    )
    parser.add_argument(
        "--against",
        nargs="+",
        default=[],
        metavar="NAME=PYTHON",
        help="interpreters that have rfdetr or inference-models, to compare with",
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these checks alone")
    parser.add_argument("--list", action="store_true", help="print the checks and stop")
    return parser.parse_args(arguments)


def sit(options: argparse.Namespace, chosen: Sequence[Check], facts: Sequence[str]) -> bool:
    """Make the checks, print and perhaps write what they find; whether none has failed."""
    if options.write is not None:
        write(options.write, "A sitting is going on.")  # a wrong page is refused before the work
    print("\n".join(facts), flush=True)
    end = time.monotonic() + 60 * options.minutes
    results = []
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
        sitting = Sitting(tuple(options.model_type), tuple(options.against), Path(folder), end)
        for result in run(chosen, sitting):
            results.append(result)
            print(f"{result.name:20} {result.verdict:8} {result.findings}", flush=True)
            if options.write is not None:  # now: a sitting that is cut short has found it too
                write(options.write, table(facts, results))
    return all(result.verdict != FAIL for result in results)


def main(arguments: Sequence[str] | None = None) -> int:
    options = read_options(arguments)
    everything = checks(options.model_type)
    chosen = [one for one in everything if options.only is None or one.name in options.only]
    if options.list:
        print("\n".join(f"{one.name:20} {one.what}" for one in chosen))
        return 0
    if not torch.cuda.is_available():
        print(f"torch {torch.__version__} finds no CUDA device: nothing to check", file=sys.stderr)
        return 1
    return 0 if sit(options, chosen, device_lines()) else 1


if __name__ == "__main__":
    sys.exit(main())
