"""What is remembered of the cameras from one run to the next."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.durable_file import DurableJson, strings

# No node has as many; but a name from a template that changes daily must not fill the disk.
MOST_CAMERAS = 1000
MOST_LABELS = 2000
RETRY_S = 5.0
_VERSION = 1


@dataclass(slots=True)
class _Remembered:
    enabled: bool = True
    labels: list[str] = field(default_factory=list)  # the longest known first
    components: dict[str, str] = field(default_factory=dict)


class CameraMemory:
    """Which cameras are switched off, what each has seen and been announced with; in ``path``.

    Thread-safe. What is set is on disk before the call returns, for which it waits; what was set
    before costs nothing. Cameras that are in the configuration no more stay remembered, they may
    come back: of `MOST_CAMERAS` the one that has been left alone longest is forgotten, and of a
    camera's `MOST_LABELS` the one known longest. A file that cannot be read is set aside, one that
    cannot be written is reported once, and tried again by `retry`.
    """

    def __init__(self, path: Path) -> None:
        self._file = DurableJson(
            path,
            _VERSION,
            "cameras",
            when_damaged="cameras that were switched off are on again",
            when_unwritable="the next start will not know which cameras are switched off",
        )
        self._lock = threading.Lock()
        self._retry_s = 0.0
        self._cameras = self._file.read(_cameras) or {}  # the one changed last stands last

    def enabled(self, camera: str) -> bool:
        """Whether the camera is on, which it is until it is switched off."""
        with self._lock:
            known = self._cameras.get(camera)
            return known is None or known.enabled

    def set_enabled(self, camera: str, enabled: bool) -> None:
        with self._lock:
            known = self._cameras.get(camera, _Remembered())
            if known.enabled != enabled:
                known.enabled = enabled
                self._keep(camera, known)

    def labels(self, camera: str) -> list[str]:
        """The labels that the camera has seen, in the order of their first sight."""
        with self._lock:
            known = self._cameras.get(camera)
            return [] if known is None else list(known.labels)

    def add_label(self, camera: str, label: str) -> None:
        with self._lock:
            known = self._cameras.get(camera, _Remembered())
            if label not in known.labels:
                known.labels = [*known.labels, label][-MOST_LABELS:]
                self._keep(camera, known)

    def components(self, camera: str) -> dict[str, str]:
        """What of the camera was announced to Home Assistant: platforms by component id."""
        with self._lock:
            known = self._cameras.get(camera)
            return {} if known is None else dict(known.components)

    def set_components(self, camera: str, components: Mapping[str, str]) -> None:
        with self._lock:
            known = self._cameras.get(camera, _Remembered())
            if known.components != components:
                known.components = dict(components)
                self._keep(camera, known)

    def retry(self, now_s: float) -> None:
        """Write what could not be written; every few seconds (``Clock.uptime_s``) at most."""
        if now_s >= self._retry_s:
            self._retry_s = now_s + RETRY_S
            with self._lock:
                self._file.retry()

    def _keep(self, camera: str, known: _Remembered) -> None:
        self._cameras.pop(camera, None)
        self._cameras[camera] = known
        while len(self._cameras) > MOST_CAMERAS:
            del self._cameras[next(iter(self._cameras))]
        cameras = {
            name: {
                "enabled": each.enabled,
                "labels": each.labels,
                "components": each.components,
            }
            for name, each in self._cameras.items()
        }
        self._file.write({"cameras": cameras})


def _cameras(document: dict[str, Any]) -> dict[str, _Remembered]:
    return {
        name: _Remembered(
            _flag(camera["enabled"]),
            strings(camera["labels"]),
            _texts(camera.get("components", {})),
        )
        for name, camera in document["cameras"].items()
    }


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise TypeError("not a mapping")
    return dict(zip(strings(list(value)), strings(list(value.values())), strict=True))


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("neither true nor false")
    return value
