"""Home Assistant's device-based MQTT discovery: one retained message announces one camera.

What Home Assistant makes of it was tried with its own code, see docs/home-assistant.md.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from edge.publish.topics import Topics

BIRTH = "online"  # Home Assistant says so on `birth_topic` whenever it has come up

# In Home Assistant's template language, on a payload. "None" is its word for unknown.
_ONLINE = "'online' if value == 'online' else 'offline'"
_DELIVERS = "value in ['online', 'degraded']"
# A count is a number, or "None" while the camera sees nothing; whatever else comes is not "empty".
_OCCUPIED = "'OFF' if value == '0' else 'ON' if value | int(0) > 0 else 'None'"

_STATUSES = ["online", "degraded", "offline", "disabled"]


@dataclass(frozen=True)
class CameraDevice:
    """What there is of one camera."""

    camera: str
    labels: Mapping[str, str]  # the announced labels, each with its slug
    zones: Sequence[str] = ()
    lines: Sequence[str] = ()
    snapshot: bool = False  # annotated pictures are published


class Announcement(NamedTuple):
    """A retained message, and what the next one about this camera must know."""

    topic: str
    payload: bytes
    platforms: dict[str, str]  # of every component that was ever announced, by its id


def birth_topic(prefix: str) -> str:
    """Where Home Assistant says that it has come up, by default."""
    return f"{prefix}/status"


def discovery_topic(prefix: str, node: str, camera: str) -> str:
    """Holds the announcement of one camera; an empty retained message there removes the device."""
    return f"{prefix}/device/{_device_id(node, camera)}/config"


def discovery(
    topics: Topics,
    prefix: str,
    node: str,
    version: str,
    model: str,
    device: CameraDevice,
    announced: Mapping[str, str] | None = None,
) -> Announcement:
    """The announcement of one camera.

    ``announced`` is ``platforms`` of the camera's last announcement. Home Assistant keeps a
    component that is merely left out, so those that the camera had once and has no more are
    withdrawn by name, and in every later announcement too, for it may have missed the first.
    """
    device_id = _device_id(node, device.camera)
    components: dict[str, dict[str, Any]] = {
        component_id: {**component, "unique_id": f"{device_id}/{component_id}", "qos": 1}
        for component_id, component in _components(topics, device)
    }
    withdrawn = {
        component_id: {"platform": platform}
        for component_id, platform in (announced or {}).items()
        if component_id not in components
    }
    all_components = {**components, **withdrawn}
    message = {
        "device": {
            "identifiers": [device_id],
            "name": f"{node} {device.camera}",
            "manufacturer": "rfdetr-edge",
            "model": model,
            "sw_version": version,
        },
        "origin": {"name": "rfdetr-edge", "sw_version": version},
        "availability_mode": "all",
        "availability": [
            _available(topics.status, _ONLINE),
            _available(
                topics.camera_status(device.camera), f"'online' if {_DELIVERS} else 'offline'"
            ),
        ],
        "components": all_components,
    }
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    return Announcement(
        discovery_topic(prefix, node, device.camera),
        text.encode(errors="replace"),  # a label may have a lone surrogate in it
        {key: component["platform"] for key, component in all_components.items()},
    )


def _device_id(node: str, camera: str) -> str:
    """One for each node and camera, of the characters that a discovery topic may have.

    Ids are lower case; so a "_" of the node's becomes "U", and the first one left ends the node.
    """
    return f"rfdetr-edge_{node.replace('_', 'U')}_{camera}"


def _available(topic: str, expression: str) -> dict[str, str]:
    # Without a template a payload that is neither word, such as "stopped", changes nothing.
    return {"topic": topic, "value_template": _template(expression)}


def _template(expression: str) -> str:
    return f"{{{{ {expression} }}}}"


def _components(topics: Topics, device: CameraDevice) -> Iterator[tuple[str, dict[str, Any]]]:
    """Components by id. Of an id's levels none has a "/" in it, so that no two ids are equal."""
    camera = device.camera
    # In the place of what all share: these have something to say of a camera that does not deliver.
    whenever_the_node_is_up = {"availability": [_available(topics.status, _ONLINE)]}
    yield (
        "connectivity",
        {
            "platform": "binary_sensor",
            "name": "Connectivity",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "state_topic": topics.camera_status(camera),
            "value_template": _template(f"'ON' if {_DELIVERS} else 'OFF'"),
            **whenever_the_node_is_up,
        },
    )
    yield (
        "status",
        {
            "platform": "sensor",
            "name": "Status",
            "device_class": "enum",
            "options": _STATUSES,
            "entity_category": "diagnostic",
            "state_topic": topics.camera_status(camera),
            **whenever_the_node_is_up,
        },
    )
    yield (
        "enabled",
        {
            "platform": "switch",
            "name": "Enabled",
            "entity_category": "config",
            "command_topic": topics.enabled_set(camera),
            "state_topic": topics.enabled_state(camera),
            **whenever_the_node_is_up,
        },
    )
    if device.snapshot:
        yield (
            "snapshot",
            {
                "platform": "image",
                "name": "Snapshot",
                "content_type": "image/jpeg",
                "image_topic": topics.snapshot(camera),
            },
        )
    for label, slug in device.labels.items():
        name = label.strip() or slug
        yield from _count(f"count/{slug}", name, topics.count(camera, slug))
        for zone in device.zones:
            yield from _count(
                f"zone/{zone}/{slug}", f"{name} in {zone}", topics.zone(camera, zone, slug)
            )
        for line in device.lines:
            for direction in ("in", "out"):
                yield (
                    f"line/{line}/{slug}/{direction}",
                    {
                        "platform": "sensor",
                        "name": f"{line} {name} {direction}",
                        "state_class": "total_increasing",
                        "state_topic": topics.line(camera, line, slug),
                        # Not value_json.in, which is a word of the template language.
                        "value_template": _template(f"value_json['{direction}']"),
                    },
                )


def _count(component_id: str, name: str, topic: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield (
        component_id,
        {
            "platform": "sensor",
            "name": name,
            "state_class": "measurement",
            "state_topic": topic,
        },
    )
    yield (
        f"{component_id}/occupancy",
        {
            "platform": "binary_sensor",
            "name": name,
            "device_class": "occupancy",
            "state_topic": topic,
            "value_template": _template(_OCCUPIED),
        },
    )
