"""Where state and caches live when nobody says: systemd's folders for the unit, else XDG's."""

import os
from collections.abc import Mapping
from pathlib import Path


def _folder(environ: Mapping[str, str], systemd: str, xdg: str, below_home: str) -> Path:
    given = environ.get(systemd, "").split(":")[0]  # systemd gives a list, by colons
    if given:
        return Path(given)
    home = environ.get("HOME") or os.path.expanduser("~")
    return Path(environ.get(xdg) or f"{home}/{below_home}") / "rfdetr-edge"


def default_state_dir(environ: Mapping[str, str] = os.environ) -> Path:
    return _folder(environ, "STATE_DIRECTORY", "XDG_STATE_HOME", ".local/state")


def default_cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    return _folder(environ, "CACHE_DIRECTORY", "XDG_CACHE_HOME", ".cache")
