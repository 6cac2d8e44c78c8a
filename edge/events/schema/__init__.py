"""The JSON Schemas (draft 2020-12) of the messages, as they ship inside the package."""

import json
from importlib.resources import files
from typing import Any


def load(name: str) -> dict[str, Any]:
    """The schema ``name``, e.g. ``frame-1``. Raises ``FileNotFoundError`` for an unknown one."""
    schema: dict[str, Any] = json.loads(files(__name__).joinpath(f"{name}.json").read_text("utf-8"))
    return schema
