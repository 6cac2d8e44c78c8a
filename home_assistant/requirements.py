"""Prints what Home Assistant's MQTT integration, and what it is built on, need beyond the core."""

import json
from importlib.resources import files

for name in ("mqtt", "hassio", "http", "file_upload", "camera", "image"):
    manifest = files("homeassistant") / "components" / name / "manifest.json"
    for requirement in json.loads(manifest.read_text()).get("requirements", ()):
        print(requirement)
