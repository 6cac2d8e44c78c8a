"""docs/offline-install.md: its commands, and the wheels that a Jetson without internet gets."""

import json
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename
from wheel_index import documented_commands

REPOSITORY = Path(__file__).parents[2]
JETSON = {  # Ubuntu 22.04 of JetPack 6, for markers
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "aarch64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.10.12",
    "python_version": "3.10",
    "sys_platform": "linux",
}
GLIBC = ["manylinux2014_aarch64", *(f"manylinux_2_{minor}_aarch64" for minor in range(17, 36))]
TAGS = {
    *cpython_tags((3, 10), platforms=GLIBC),
    *compatible_tags((3, 10), "cp310", platforms=GLIBC),
}
NVIDIAS = {"torch", "torchvision"}  # from its own index: test_torch_extras.py


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the command would put into the folder, by project, but for NVIDIA's two files.

    Through the machine's own pip configuration: this test needs an index.
    """
    folder = tmp_path_factory.mktemp("wheels")
    lists = folder / "torch-jp6-cu126.txt"
    pins = (REPOSITORY / "constraints/torch-jp6-cu126.txt").read_text().splitlines()
    lists.write_text("\n".join(pin for pin in pins if re.match(r"[a-z]+==", pin)))
    arguments = [
        str(lists) if part.endswith(lists.name) else part
        for part in documented_commands(REPOSITORY / "docs/offline-install.md", "$ ")[1][1:]
    ]
    arguments[arguments.index("--dest")] = "--target"
    report = folder / "report.json"
    dry_run = ["install", "-qq", "--dry-run", "--ignore-installed", "--report", str(report)]
    result = subprocess.run(
        [sys.executable, "-m", "pip", *dry_run, *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    items = json.loads(report.read_text())["install"]
    return {canonicalize_name(item["metadata"]["name"]): item for item in items}


def test_every_wheel_is_there_for_aarch64_and_python_310(wheels):
    pinned = set()
    for name in ("runtime.txt", "numpy1.txt", "torch-jp6-cu126.txt"):
        lines = (REPOSITORY / "constraints" / name).read_text().splitlines()
        pinned |= {Requirement(line).name for line in lines if line[:1] not in "#-"}
    assert set(wheels) == {canonicalize_name(name) for name in pinned} - NVIDIAS
    for project, item in wheels.items():
        file = item["download_info"]["url"].rsplit("/", 1)[1].replace("%2B", "+")
        tags = parse_wheel_filename(file)[3]
        assert tags & TAGS, f"{project}: {file} does not run on JetPack 6"


@pytest.mark.parametrize("extras", [(), ("demo",), ("opencv", "demo")])
def test_the_folder_has_all_that_is_needed(wheels, extras):
    """Walks the requirements as pip on a Jetson would; versions and markers included."""
    needed = [Requirement(line) for line in requires("rfdetr-edge") or []]
    extras = ("torch-jp6-cu126", *extras)
    todo = [(wanted, extras) for wanted in needed]
    todo += [
        (Requirement(name), ()) for name in ("filelock", "fsspec", "jinja2", "networkx", "sympy")
    ]
    seen = set()
    while todo:
        wanted, extras_on = todo.pop()
        environments = [{**JETSON, "extra": extra} for extra in ("", *extras_on)]
        project = canonicalize_name(wanted.name)
        if wanted.marker and not any(wanted.marker.evaluate(one) for one in environments):
            continue
        if project in NVIDIAS or (project, *wanted.extras) in seen:
            continue
        seen.add((project, *wanted.extras))
        assert project in wheels, f"{wanted} is not in the lists"
        metadata = wheels[project]["metadata"]
        assert wanted.specifier.contains(metadata["version"], prereleases=True), wanted
        requirements = map(Requirement, metadata.get("requires_dist", []))
        todo += [(requirement, tuple(wanted.extras)) for requirement in requirements]
    assert {name for name, *_ in seen} >= {"numpy", "supervision", "lap", "av"}
