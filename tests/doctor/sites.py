"""Configurations for the doctor to look at."""

from pathlib import Path
from typing import Any

import yaml

from edge.config import load_config
from edge.doctor.configuration import Site


def site_file(folder: Path, *sources: str, **other: Any) -> Path:
    """The demo model, a camera ``cam0``, ``cam1``, … for each source; ``other`` are sections."""
    folder.mkdir(parents=True, exist_ok=True)
    cameras = [{"id": f"cam{i}", "source": source} for i, source in enumerate(sources)]
    content = {
        "node": "test",
        "state_dir": str(folder / "state"),
        "cache_dir": str(folder / "cache"),
        "model": {"type": "rfdetr-seg-demo", "device": "cpu"},
        "cameras": cameras,
        "http": {"port": 0},
        **other,
    }
    file = folder / "site.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def site(folder: Path, *sources: str, **other: Any) -> Site:
    file = site_file(folder, *sources, **other)
    return Site(str(file), load_config(file).config)
