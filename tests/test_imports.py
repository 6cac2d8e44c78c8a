"""Who may import whom, and what must not be paid for at start-up."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EDGE = Path(__file__).parents[1] / "edge"

# What each room may know of the others; `daemon`, `cli` and their like at the top may know all.
ALLOWED = {
    "rfdetr": {"rfdetr"},
    "capture": {"capture", "clock", "config", "cuda_calls", "frame", "metrics", "spelling"},
    "inference": {
        *("inference", "rfdetr", "clock", "cuda_calls", "detections", "frame", "jetson"),
        *("metrics", "spelling"),
    },
    "events": {
        *(
            "events",
            "bilinear",
            "clock",
            "config",
            "crossings",
            "detections",
            "frame",
            "line_total",
        ),
        "mask_runs",
    },
    "jetson": {"jetson"},
    "doctor": {
        *("doctor", "capture", "clock", "config", "folders", "inference", "jetson", "logs"),
        *("model_loading", "process", "publish", "report", "version", "weights"),
    },
    "publish": {"publish", "clock", "config", "durable_file", "line_total", "metrics"},
    "http": {"http", "clock", "config", "metrics", "picture", "version"},
}


def imports(file: Path) -> set[str]:
    """The modules that a file imports, at its top or late."""
    return set(re.findall(r"^\s*(?:from|import) ([\w.]+)", file.read_text(encoding="utf-8"), re.M))


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_rooms_know_only_their_neighbours(room):
    for file in sorted((EDGE / room).rglob("*.py")):
        known = {name.split(".")[1] for name in imports(file) if name.startswith("edge.")}
        foreign = known - ALLOWED[room]
        assert not foreign, f"{file.relative_to(EDGE)} imports {sorted(foreign)}"


def test_the_official_packages_are_never_imported():
    scripts = EDGE / "bench" / "opponents"  # they run in those packages' own environments
    for file in set(EDGE.rglob("*.py")) - set(scripts.glob("run_*.py")):
        packages = {name.split(".")[0] for name in imports(file)}
        assert not packages & {"rfdetr", "inference_models", "transformers"}, file


def test_imports_are_seen():
    assert imports(EDGE / "inference" / "engine.py") >= {"torch", "edge.frame"}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("edge", {"torch", "numpy", "cv2", "pydantic"}),
        ("edge.cli", {"torch", "numpy", "cv2", "pydantic", "uvicorn", "paho"}),
        # It explains what is missing, so it needs nothing.
        ("edge.doctor.command", {"torch", "numpy", "cv2", "av", "pydantic", "paho", "yaml"}),
        ("edge.config", {"torch", "cv2", "av"}),
        ("edge.daemon", {"torch", "supervision", "matplotlib", "scipy", "starlette", "uvicorn"}),
        ("edge.reporter", {"supervision", "matplotlib", "scipy"}),
    ],
)
def test_start_up_does_not_pay_for_what_comes_later(module, absent):
    script = f"import {module}, sys; print(*(set(sys.modules) & {absent!r}))"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []
