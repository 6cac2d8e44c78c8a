"""From sightings to events: each object gets one ``new``, its ``update``s and one ``end``."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from edge.bilinear import Floats
from edge.clock import Timestamp
from edge.config import CameraSettings, TrackingSettings
from edge.detections import Detections
from edge.events.lines import Crossing, LineCrossings, Lines, LineTotals
from edge.events.summary import ObjectSummary, Summary
from edge.events.tracking import Track, Tracker
from edge.events.zones import ZonePresence, Zones
from edge.frame import Frame, FrameHeader

EventType = Literal["new", "update", "end"]
EndReason = Literal[
    "lost", "camera_offline", "source_ended", "disabled", "removed", "shutdown", "restart"
]


@dataclass(frozen=True, slots=True)
class Event:
    """What is to be told of one object.

    ``frame``, ``seen`` and ``mask_logits`` (float32 ``[m, m]``, where the camera asks for geometry)
    are of its last sighting, which for a ``new`` or an ``update`` is the frame at hand. ``seen``
    has the label and the class row that the whole event has. ``age_s`` is from the first sighting
    to the last, ``dwell_s`` the seconds spent in each zone so far. ``decided_at`` and
    ``end_reason``: of an ``end`` only.
    """

    type: EventType
    event_id: str
    frame: FrameHeader
    seen: ObjectSummary
    mask_logits: Floats | None
    first_seen: Timestamp
    age_s: float
    frames: int
    score_max: float
    dwell_s: Mapping[str, float]
    crossings: Sequence[Crossing] = ()
    decided_at: Timestamp | None = None
    end_reason: EndReason | None = None


class Seen(NamedTuple):
    """What a frame brought: its objects with their tracks and zones, and the events."""

    objects: list[ObjectSummary]
    events: list[Event]


@dataclass(eq=False, slots=True)
class _Object:
    """What is known of one track. It is open, and has an ``event_id``, from its confirmation on."""

    presence: ZonePresence
    line_crossings: LineCrossings
    first_seen: Timestamp
    frame: FrameHeader  # of the last sighting, as are the next two
    seen: ObjectSummary
    mask_logits: Floats | None = None
    frames: int = 0
    score_max: float = 0.0
    crossings: list[Crossing] = field(default_factory=list)  # not told yet
    event_id: str | None = None
    told_s: float = 0.0  # capture uptime of the last event


class Lifecycle:
    """The objects of one camera. Owned by the events thread.

    Time is that of the frames (``Timestamp.uptime_s`` at capture): a stalled camera loses nothing,
    and a file has its own time. ``totals`` are those of the camera's lines, kept up to date here.
    ``last_track_id`` is the last id that the camera's lifecycle before this one has given.
    """

    def __init__(
        self,
        camera: CameraSettings,
        tracking: TrackingSettings,
        session: str,
        totals: LineTotals,
        last_track_id: int = 0,
    ) -> None:
        self._camera = camera.id
        self._session = session
        self._keeps_masks = camera.geometry != "none"
        self._update_interval_s = tracking.update_interval_s
        self._tracker = Tracker(tracking.confirm_frames, tracking.lost_after_s, last_track_id)
        self._zones, self._lines = Zones(camera.zones), Lines(camera.lines)
        self._objects: dict[Track, _Object] = {}
        self._totals = totals

    def see(self, frame: Frame, detections: Detections, summary: Summary) -> Seen:
        """The next frame of the camera."""
        at_s = frame.captured_at.uptime_s
        rows = [seen.detection for seen in summary.objects]
        logits = detections.mask_logits[rows]
        tracked = self._tracker.update(summary.objects, logits, frame.size, at_s)
        shares = self._zones.shares(summary.masks)[rows]
        events = self._end(tracked.lost, "lost", frame.captured_at)
        objects = []
        for i, (seen, track) in enumerate(zip(summary.objects, tracked.tracks, strict=True)):
            if track is None:
                objects.append(seen)
                continue
            known = self._objects.get(track)
            if known is None:
                known = self._objects[track] = _Object(
                    self._zones.presence(),
                    self._lines.crossings(),
                    frame.captured_at,
                    frame.header,
                    seen,
                )
            moved = known.presence.update(shares[i], at_s)
            known.crossings += known.line_crossings.update(seen.centroid, frame.size)
            objects.append(replace(seen, track_id=track.id, zones=known.presence.zones))
            known.frame = frame.header
            known.seen = replace(objects[-1], label=track.label, class_id=track.class_id)
            known.mask_logits = logits[i].copy() if self._keeps_masks else None
            known.frames += 1
            known.score_max = max(known.score_max, seen.score)
            if track.id is not None and (kind := self._due(known, moved, at_s)) is not None:
                events.append(self._tell(track, known, kind))
        return Seen(objects, events)

    def close(self, reason: EndReason, now: Timestamp) -> list[Event]:
        """End everything that is open; what comes next is seen for the first time."""
        self._tracker.clear()
        return self._end(list(self._objects), reason, now)

    @property
    def last_track_id(self) -> int:
        """0 before any object has one."""
        return self._tracker.last_id

    @property
    def watches(self) -> bool:
        """Whether there is any object that `close` would forget."""
        return bool(self._objects)

    def counts(self) -> tuple[Counter[str], Counter[tuple[str, str]]]:
        """The open objects by label, and by (zone, label)."""
        by_label: Counter[str] = Counter()
        by_zone: Counter[tuple[str, str]] = Counter()
        for known in self._objects.values():
            if known.event_id is not None:
                by_label[known.seen.label] += 1
                by_zone.update((zone, known.seen.label) for zone in known.presence.zones)
        return by_label, by_zone

    def _due(self, known: _Object, moved: bool, at_s: float) -> EventType | None:
        """Which event the sighting at hand brings."""
        if known.event_id is None:
            return "new"
        if moved or known.crossings or at_s - known.told_s >= self._update_interval_s:
            return "update"
        return None

    def _tell(self, track: Track, known: _Object, kind: EventType) -> Event:
        if kind == "new":
            known.event_id = f"{self._session}-{self._camera}-{track.id}"
        crossings, known.crossings = known.crossings, []
        for crossing in crossings:
            self._totals.add(crossing.line, track.label, crossing.direction)
        known.told_s = known.frame.captured_at.uptime_s
        return replace(_event(known, kind), crossings=crossings)

    def _end(self, tracks: Sequence[Track], reason: EndReason, now: Timestamp) -> list[Event]:
        gone = [self._objects.pop(track) for track in tracks]
        return [
            replace(
                _event(known, "end"),
                # A file's own time may run ahead of the clock; nothing ends before it was seen.
                decided_at=max(now, known.frame.captured_at, key=lambda moment: moment.uptime_s),
                end_reason=reason,
            )
            for known in gone
            if known.event_id is not None
        ]


def _event(known: _Object, kind: EventType) -> Event:
    at_s = known.frame.captured_at.uptime_s
    return Event(
        type=kind,
        event_id=str(known.event_id),
        frame=known.frame,
        seen=known.seen,
        mask_logits=known.mask_logits,
        first_seen=known.first_seen,
        age_s=max(0.0, at_s - known.first_seen.uptime_s),
        frames=known.frames,
        score_max=known.score_max,
        dwell_s=known.presence.dwell_s(at_s),
    )
