"""What the HTTP side asks of the daemon: is it well, and what is there to show."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class CameraView:
    """One camera as the page shows it. All of it may be read by anybody who may see the page."""

    id: str
    state: str  # online | degraded | offline | disabled
    reason: str | None  # why it is not online, or is degraded; one sentence
    source: str  # without credentials: rtsp://***@host/path
    decoder: str | None  # what decodes it; None before it was opened
    fps: float  # inferred frames per second
    age_s: float | None  # since the newest frame was captured; None before it, and when disabled
    size: tuple[int, int] | None  # width, height in pixels of the newest frame


@dataclass(frozen=True, slots=True)
class NodeView:
    """The head of the page."""

    node: str
    version: str
    model: str | None  # None while it loads
    uptime_s: float
    mqtt_connected: bool
    inference_fps: float  # over all cameras


class Health(Protocol):
    """The daemon's side of it.

    Every method is called from the HTTP server's thread, at any time between its start and its
    stop, also while the model loads: it holds no lock for long, waits for nothing, raises nothing.
    """

    def live(self) -> tuple[bool, Mapping[str, object]]:
        """Whether a restart would not help: loading, or all loops turn. The mapping is the answer's
        JSON body, with a ``reason`` (one sentence) where not.
        """
        ...

    def ready(self) -> tuple[bool, Mapping[str, object]]:
        """Whether, at this moment, the model is warm and a camera delivers. As for ``live``."""
        ...

    def cameras(self) -> list[CameraView]:
        """The configured cameras, in the configuration's order."""
        ...

    def page(self) -> NodeView: ...
