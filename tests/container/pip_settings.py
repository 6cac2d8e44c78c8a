"""pip's settings on this machine, for a build that is to install from where this machine does."""

import os
import shlex
import subprocess
import sys
from pathlib import Path


def pip_settings() -> tuple[str, list[Path]]:
    """A pip.conf of all that pip is told here, and the files and folders here that it names."""
    environ = {name: value for name, value in os.environ.items() if name != "PIP_CONFIG_FILE"}
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        check=True,
        capture_output=True,
        text=True,
        env=environ,
    ).stdout
    settings: dict[str, str] = {}
    for (
        line
    ) in listed.splitlines():  # global.timeout='180', and :env:.timeout='180', which goes first
        name, _, value = line.partition("=")
        scope, _, key = name.rpartition(".")
        if scope in ("global", "install", "wheel") or (scope == ":env:" and key != "config-file"):
            settings[key] = shlex.split(value)[0]
    lines = ["[global]", *(f"{key} = {' '.join(value.split())}" for key, value in settings.items())]
    words = {word for value in settings.values() for word in value.split()}
    # An index in files has its pages in one folder and what they link to beside it.
    paths = {
        Path(word.removeprefix("file://")).parent for word in words if word.startswith("file:")
    }
    paths |= {Path(word) for word in words if word.startswith("/")}
    return "\n".join(lines) + "\n", sorted(path for path in paths if path.exists())
