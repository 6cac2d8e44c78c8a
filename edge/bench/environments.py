"""Where the opponents live: one virtual environment each, never this program's own."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

from edge.bench.opponents import OPPONENTS
from edge.bench.options import BenchError, Options


def interpreters(options: Options, cache_dir: Path) -> dict[str, Path]:
    """The Python of each opponent asked for, made first where ``--install`` says so.

    Raises ``BenchError`` with what to do where one is missing, or cannot be made.
    """
    found = {}
    for name in options.against:
        if name in options.pythons:
            found[name] = options.pythons[name]
            _check(name, found[name])
            continue
        folder = cache_dir / "bench" / name
        stamp = folder / f".has-{OPPONENTS[name].version}"
        if not stamp.exists():
            if not options.install:
                raise BenchError(
                    f"{name} has no environment to run in: --install makes one at {folder},"
                    f" --python {name}=PATH names the interpreter of one that has it"
                )
            _make(name, folder, options.torch_index)
            stamp.touch()
        found[name] = folder / "bin" / "python"
    return found


def _check(name: str, python: Path) -> None:
    """Before anything is measured: whether this is a Python that has the package."""
    has = "import sys; from importlib.util import find_spec as f; sys.exit(f(sys.argv[1]) is None)"
    command = [str(python), "-E", "-c", has, OPPONENTS[name].module]
    try:
        has_it = not subprocess.run(
            command, capture_output=True, timeout=60, check=False
        ).returncode
    except (OSError, subprocess.TimeoutExpired):
        has_it = False
    if not has_it:
        raise BenchError(
            f"--python {name}: {python} is no Python that has {OPPONENTS[name].module}"
        )


def requirements(name: str) -> list[list[str]]:
    """What pip installs, call by call: first the torch that we have, then the package."""
    torch = f"torch=={_public_version('torch')}"
    try:
        pair = [torch, f"torchvision=={_public_version('torchvision')}"]
    except metadata.PackageNotFoundError:
        pair = [torch, "torchvision"]
    return [pair, [*pair, *OPPONENTS[name].requirements]]


def _make(name: str, folder: Path, torch_index: str | None) -> None:
    print(f"making an environment for {name} at {folder}: minutes", file=sys.stderr, flush=True)
    index = ["--extra-index-url", torch_index] if torch_index else []
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install"]
    commands = [[sys.executable, "-m", "venv", "--clear", str(folder)]]
    commands += [[*pip, "--quiet", *index, *wanted] for wanted in requirements(name)]
    for command in commands:
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise BenchError(f"{command[0]} cannot be run: {error.strerror}") from None
        if done.returncode:
            said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            reason = said[-1].strip() if said else f"{command[0]} ended with {done.returncode}"
            raise BenchError(f"no environment for {name} could be made: {reason}")


def _public_version(package: str) -> str:
    """Without the part behind +, which names a build that only one index has."""
    return metadata.version(package).partition("+")[0]
