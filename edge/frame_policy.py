"""Which frames of a camera are told of: ``cameras[].frames`` and ``frame_max_fps``."""

from collections.abc import Sequence
from typing import Literal

from edge.capture.timing import RateCap
from edge.events.summary import ObjectSummary


class FramePolicy:
    """Owned by the events thread.

    With ``changes`` a frame is told of where it differs from the last one that was told of: in the
    number of objects of a label, in their tracks, or in the zones that one of them is in. A change
    that the rate holds back is told with the next frame that still shows it.
    """

    def __init__(
        self, frames: Literal["all", "changes", "off"], max_fps: float | None = None
    ) -> None:
        self._frames = frames
        self._rate_cap = RateCap(max_fps) if max_fps else None
        self._told: object = None

    def wants(self, objects: Sequence[ObjectSummary], now_s: float) -> bool:
        """Whether this frame is to be published, at ``now_s`` (``Clock.uptime_s``)."""
        if self._frames == "off":
            return False
        shown = sorted((seen.label, seen.track_id or 0, seen.zones) for seen in objects)
        if self._frames == "changes" and shown == self._told:
            return False
        if self._rate_cap is not None and not self._rate_cap.allows(now_s):
            return False
        self._told = shown
        return True
