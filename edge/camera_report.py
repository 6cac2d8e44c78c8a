"""What is told of one camera: its frames, the events of its objects, its counts."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from edge.capture.camera import ONLINE_S, Camera, State
from edge.config import Config, TrackingSettings
from edge.events.event_message import EventMessageBuilder
from edge.events.fields import latency_fields
from edge.events.geometry import geometry
from edge.events.lifecycle import EndReason, Event, Lifecycle
from edge.events.lines import LineTotals
from edge.events.message import FrameMessageBuilder
from edge.events.summary import summarise
from edge.frame_policy import FramePolicy
from edge.inference.loop import Inferred
from edge.outlets import Outlets
from edge.picture import Result
from edge.publish.counts import CountTopics, label_slugs
from edge.publish.spool_event import SpoolEvent
from edge.rates import RateMeter

if TYPE_CHECKING:
    from edge.rfdetr.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True)
class Desk:
    """What the reports of all cameras share.

    ``names`` are the model's labels by class row, ``resolution`` is the side of its square input.
    """

    outlets: Outlets
    session: str
    model: str
    names: Sequence[str | None]
    resolution: int
    tracking: TrackingSettings
    frame_messages: FrameMessageBuilder
    event_messages: EventMessageBuilder

    @classmethod
    def of(
        cls,
        outlets: Outlets,
        config: Config,
        session: str,
        checkpoint: "Checkpoint",
        before: "Desk | None" = None,
    ) -> "Desk":
        """``before``: the desk that this one follows in the session."""
        model = checkpoint.variant.name
        whose = config.node, session, model, config.mqtt.max_payload_bytes
        return cls(
            outlets,
            session,
            model,
            checkpoint.names,
            checkpoint.resolution,
            config.tracking,
            FrameMessageBuilder(*whose, None if before is None else before.frame_messages.seq),
            EventMessageBuilder(*whose),
        )

    def sees_as(self, other: "Desk") -> bool:
        """Whether objects go on from one desk to the other: same labels, same masks, same rules."""
        return (self.model, self.names, self.resolution, self.tracking) == (
            *(other.model, other.names),
            *(other.resolution, other.tracking),
        )


class Past(NamedTuple):
    """What goes on from one report of a camera to the next in the session."""

    totals: LineTotals
    last_track_id: int = 0


class CameraReport:
    """Owned by the events thread; ``rate`` may be read by any.

    ``all_done`` tells that no frame of the camera is under way. The settings are the camera's at
    this moment: with others it gets another report.
    """

    def __init__(
        self, desk: Desk, camera: Camera, all_done: Callable[[], bool], past: Past
    ) -> None:
        self._desk, self._outlets = desk, desk.outlets
        self._camera, self._all_done = camera, all_done
        self._settings = settings = camera.settings
        self._classes = None if settings.classes is None else set(settings.classes)
        self._totals = past.totals
        self._lifecycle = Lifecycle(
            settings, desk.tracking, desk.session, past.totals, past.last_track_id
        )
        self._slugs = label_slugs(desk.names)
        self._counts = CountTopics(
            desk.outlets.publisher,
            desk.outlets.topics,
            camera.id,
            self._slugs,
            [zone.id for zone in settings.zones],
            [line.id for line in settings.lines],
        )
        self._counts_due = True
        self._frames = FramePolicy(settings.frames, settings.frame_max_fps)
        self._wanted_from = camera.wanted_from
        self._state = ""
        self._reported_s = self._outlets.clock.uptime_s()  # the last report
        self._interval_s = 1 / (settings.max_fps or 1.0)  # between the last two
        self.rate = RateMeter()
        for label in settings.classes or desk.outlets.memory.labels(camera.id):
            self._counts.announce(label)
        self._announce_at_home()

    @property
    def past(self) -> Past:
        return Past(self._totals, self._lifecycle.last_track_id)

    @property
    def topics(self) -> set[str]:
        """The camera's retained topics that are kept true from here."""
        return {self._outlets.topics.camera_status(self._camera.id), *self._counts.topics}

    def goes_on(self, desk: Desk, camera: Camera) -> bool:
        """Go on at another desk, where nothing of what was seen has another meaning there."""
        if camera.settings != self._settings or not desk.sees_as(self._desk):
            return False
        self._desk = desk
        return True

    def report(self, inferred: Inferred) -> None:
        """One inferred frame, all the way to its messages."""
        frame, detections = inferred.frame, inferred.detections
        metrics, clock = self._outlets.metrics, self._outlets.clock
        now_s = clock.uptime_s()
        self.rate.count(now_s)
        self._follow_switch()
        if frame.id < self._wanted_from[0]:
            return  # it was on its way when the camera was switched off: nobody is to see it
        start = time.perf_counter()
        summary = summarise(
            detections, self._desk.names, self._classes, self._settings.min_area_fraction
        )
        objects, events = self._lifecycle.see(frame, detections, summary)
        summarised = time.perf_counter()
        metrics.stage.labels("summarise").observe(summarised - start)
        for seen in objects:
            metrics.detections.labels(frame.camera, seen.label).inc()
        result = Result(frame, detections, objects)
        self._outlets.board.post(result)
        self._outlets.snapshots.offer(result, any(event.type == "new" for event in events))
        now_s = clock.uptime_s()
        self._interval_s, self._reported_s = now_s - self._reported_s, now_s

        timing = inferred.started_uptime_s, inferred.infer_s * 1000, now_s
        latency = latency_fields(frame, *timing)
        for event in events:
            self._send(event, latency if event.type != "end" else None)
        self._give_topics([event.seen.label for event in events if event.type == "new"])
        self._counts_due |= bool(events)
        if not self._frames.wants(objects, now_s):
            return
        outlines = []
        if self._settings.geometry != "none":
            logits = detections.mask_logits[[seen.detection for seen in objects]]
            outlines = geometry(logits, frame.size, self._settings.geometry)
        payload = self._desk.frame_messages.build(frame, objects, *timing, outlines)
        topic = self._outlets.topics.frame(frame.camera)
        handed_over = self._outlets.publisher.publish_frame(topic, payload)
        metrics.stage.labels("publish").observe(time.perf_counter() - summarised)
        if handed_over:
            age_s = clock.uptime_s() - frame.captured_at.uptime_s
            # A video file's own time may run ahead of the clock; no age is below 0.
            metrics.capture_to_publish.labels(frame.camera).observe(max(age_s, 0.0))

    def look_after(self, state: State, now_s: float) -> None:
        """End what is over for another reason than a frame, and bring the counts up to date.

        ``state`` is the camera's at ``now_s`` (``Clock.uptime_s``).
        """
        self._follow_switch()
        reason = self._why_over(state, now_s)
        if reason is not None and self._lifecycle.watches:
            self._close(reason)
        if state != self._state:
            self._state = state
            self._counts_due = True
        if self._counts_due:
            self._counts_due = False
            known = state in {"online", "degraded"}
            by_label, by_zone = self._lifecycle.counts() if known else (None, None)
            self._publish_counts(by_label, by_zone)

    def finish(self) -> None:
        """The daemon stops: end all that is open; nothing is counted any more."""
        self._close("source_ended" if self._camera.ended else "shutdown")
        self._publish_counts(None, None)

    def replace(self, camera: Camera, desk: Desk) -> "CameraReport":
        """The same camera with other settings, or seen by another model: what is open ends."""
        self._close("removed")
        following = CameraReport(desk, camera, self._all_done, self.past)
        following.rate = self.rate
        following.look_after(camera.state(now_s := self._outlets.clock.uptime_s()), now_s)
        self._forget(self.topics - following.topics)
        return following

    def leave(self) -> None:
        """The camera has left the configuration, and nothing of it stays."""
        self._close("removed")
        self._outlets.board.clear(self._camera.id)
        self._outlets.snapshots.clear(self._camera.id)
        self._outlets.home.withdraw(self._camera.id)
        self._forget(self.topics)

    def _forget(self, topics: Collection[str]) -> None:
        for topic in sorted(topics):
            self._outlets.publisher.forget_retained(topic)

    def _publish_counts(
        self, by_label: Mapping[str, int] | None, by_zone: Mapping[tuple[str, str], int] | None
    ) -> None:
        totals = {(total.line, total.label): (total.ins, total.outs) for total in self._totals}
        self._counts.publish(by_label, by_zone, totals)

    def _close(self, reason: EndReason) -> None:
        for event in self._lifecycle.close(reason, self._outlets.clock.now()):
            self._send(event)
        self._counts_due = True

    def _follow_switch(self) -> None:
        """Off ends and hides what was seen, also where on has followed at once."""
        wanted_from = self._camera.wanted_from
        if wanted_from != self._wanted_from:
            self._wanted_from = wanted_from
            if self._lifecycle.watches:
                self._close(wanted_from[1])
            self._outlets.board.clear(self._camera.id)
            self._outlets.snapshots.clear(self._camera.id)

    def _why_over(self, state: State, now_s: float) -> EndReason | None:
        """Why what is open has to end though no frame says so."""
        if self._camera.ended:
            return "source_ended" if self._all_done() else None
        if state == "offline":
            return "camera_offline"
        # The camera delivers, and yet nothing is inferred: nobody can say what is still there.
        silence_s = ONLINE_S + 2 * self._interval_s  # a slow network has slow turns
        return "lost" if now_s - self._reported_s > silence_s else None

    def _send(self, event: Event, latency: Mapping[str, float] | None = None) -> None:
        outline: Mapping[str, object] = {}
        if event.mask_logits is not None:
            kind = self._settings.geometry
            (outline,) = geometry(event.mask_logits[None], event.frame.size, kind)
        head, tail = self._desk.event_messages.build(event, latency, outline)
        totals = [
            self._totals.get(line, event.seen.label)
            for line in dict.fromkeys(crossing.line for crossing in event.crossings)
        ]
        self._outlets.delivery.append(
            SpoolEvent(self._camera.id, event.type, event.event_id, head, tail, totals)
        )

    def _give_topics(self, labels: Sequence[str]) -> None:
        """A label that was not known gets its topics with its first object."""
        new = [label for label in labels if self._counts.announce(label)]
        for label in new:
            self._outlets.memory.add_label(self._camera.id, label)
        if new:
            self._announce_at_home()

    def _announce_at_home(self) -> None:
        self._outlets.home.announce(
            self._settings, self._desk.model, self._counts.labels, self._slugs
        )
