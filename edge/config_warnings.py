"""What a good configuration should still be told about."""

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from edge.capture.address import CsiAddress, GstreamerAddress
from edge.config_file import KeyPath

if TYPE_CHECKING:
    from edge.config import Config, HttpSettings


def _any(value: Any) -> bool:
    return True


# Keys that are checked but have no effect in this version, and which values of them would have
# one. A key leaves this table in the change that makes it work.
_NO_EFFECT_YET: Mapping[str, Callable[[Any], bool]] = {
    "cameras.source": lambda source: isinstance(source, CsiAddress | GstreamerAddress),
    "cameras.decoder": lambda decoder: decoder == "nvidia",
    "cameras.zones": _any,
    "cameras.lines": _any,
    "cameras.frames": lambda frames: frames == "changes",
    "cameras.snapshot": _any,
    "tracking.confirm_frames": _any,
    "tracking.lost_after_s": _any,
    "tracking.update_interval_s": _any,
    "mqtt.home_assistant.enabled": _any,
    "spool.path": _any,
    "spool.max_bytes": _any,
    "spool.max_age_s": _any,
    "spool.replay_rate": _any,
}


def config_warnings(config: "Config") -> Iterator[tuple[KeyPath, str]]:
    """Keys set to something else than their default that do nothing yet, and open doors."""
    filled_in = {"spool.path": config.state_dir / "spool.db"}
    for path, value, default in _settings(config, ()):
        name = _name(path)
        if value != filled_in.get(name, default) and _NO_EFFECT_YET[name](value):
            yield path, "has no effect in this version"
    if _is_open(config.http):
        yield (
            ("http", "host"),
            "anybody on the network can see the cameras (set token_file, or username and "
            "password_file)",
        )


def _settings(section: BaseModel, above: KeyPath) -> Iterator[tuple[KeyPath, Any, Any]]:
    """Path, value and default of each key in the table."""
    for key, field in type(section).model_fields.items():
        path, value = (*above, key), getattr(section, key)
        if _name(path) in _NO_EFFECT_YET:
            yield path, value, field.default
        elif isinstance(value, BaseModel):
            yield from _settings(value, path)
        elif isinstance(value, list):
            for i, entry in enumerate(value):
                if isinstance(entry, BaseModel):
                    yield from _settings(entry, (*path, i))


def _name(path: KeyPath) -> str:
    return ".".join(key for key in path if isinstance(key, str))


def _is_open(http: "HttpSettings") -> bool:
    if http.token_file is not None or http.password_file is not None:
        return False
    try:
        return not ipaddress.ip_address(http.host).is_loopback
    except ValueError:  # a name
        return http.host != "localhost"
