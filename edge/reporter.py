"""The events thread's work: from inferred frames to messages, statuses and pictures."""

import json
import logging
import queue
import threading
from collections.abc import Callable, Mapping
from functools import partial

from edge.camera_report import CameraReport, Past
from edge.capture.slot import FrameSlots
from edge.events.lines import LineTotals
from edge.inference.loop import Inferred
from edge.publish.spool_event import SpoolEvent
from edge.rates import RateMeter
from edge.scope import Scope

log = logging.getLogger(__name__)

TURN_S = 0.2  # the longest an empty turn takes
HEARTBEAT_S = 1.0


class Reporter:
    """Owned by the events thread; ``rates`` and ``turned_uptime_s`` may be read by any.

    Another `Scope` comes in line with the results: those before it are of the model and the cameras
    that it ends. ``stopping`` is set before the cameras are stopped: that they deliver no more then
    is no fault of theirs.
    """

    def __init__(
        self,
        scope: Scope,
        results: "queue.Queue[Inferred | Scope]",
        slots: FrameSlots,
        inference_turns: Callable[[], int],
        stopping: threading.Event,
    ) -> None:
        self._outlets = outlets = scope.desk.outlets
        self._results, self._slots, self._stopping = results, slots, stopping
        self._inference_turns, self._turns_seen = inference_turns, -1
        self._heartbeat_due_s = 0.0
        self.turned_uptime_s = outlets.clock.uptime_s()
        self._stored_totals = outlets.delivery.line_totals()
        self._reports: dict[str, CameraReport] = {}
        self._past: dict[str, Past] = {}  # of cameras that have left
        self.rates: Mapping[str, RateMeter] = {}  # exchanged, never changed
        self._take_over(scope)

    def end_left_open(self) -> None:
        """End, in its name, what the last session left open when it died."""
        now, left_open = self._outlets.clock.now(), self._outlets.delivery.left_open()
        if left_open:
            log.info("ending %d events that the last session has left open", len(left_open))
        for left in left_open:
            try:
                body = self._scope.desk.event_messages.close_left_open(left.body, now)
            except ValueError as error:
                log.warning("event %s was left open and cannot be ended: %s", left.event_id, error)
                continue
            self._outlets.delivery.append(SpoolEvent(left.camera, "end", left.event_id, *body))

    def run(self, stop: threading.Event) -> None:
        """Turn until ``stop``, then report what is still in the queue and end what is open."""
        while not stop.is_set():
            self.turn(TURN_S)
        while not self._results.empty():
            self.turn(0)
        for report in self._reports.values():
            report.finish()

    def turn(self, timeout_s: float) -> None:
        try:
            next_ = (
                self._results.get(timeout=timeout_s) if timeout_s else self._results.get_nowait()
            )
        except queue.Empty:
            next_ = None
        if isinstance(next_, Scope):
            self._take_over(next_)
        elif next_ is not None:
            self._report(next_)
        self.publish_state()
        self._beat()
        self._outlets.home.turn()
        self.turned_uptime_s = self._outlets.clock.uptime_s()

    def _take_over(self, scope: Scope) -> None:
        self._scope = scope
        cameras = {camera.id: camera for camera in scope.cameras}
        for name in self._reports.keys() - cameras.keys():
            report = self._reports.pop(name)
            report.leave()
            self._past[name] = report.past
        self._outlets.snapshots.follow([camera.settings for camera in scope.cameras])
        for name, camera in cameras.items():
            known = self._reports.get(name)
            if known is None:
                past = self._past.pop(name, Past(LineTotals(name, self._stored_totals)))
                done = partial(self._slots.all_done, name)
                self._reports[name] = CameraReport(scope.desk, camera, done, past)
            elif not known.goes_on(scope.desk, camera):
                self._reports[name] = known.replace(camera, scope.desk)
        self.rates = {name: report.rate for name, report in self._reports.items()}

    def _report(self, inferred: Inferred) -> None:
        camera = inferred.frame.camera
        if camera in self._reports:  # else it has just left
            self._reports[camera].report(inferred)
        self._slots.done(camera)

    def publish_state(self) -> None:
        """Bring the retained topics up to date; what has not changed is not sent again."""
        now_s = self._outlets.clock.uptime_s()
        publish, topics = self._outlets.publisher.publish_retained, self._outlets.topics
        for camera in self._scope.cameras:
            state = camera.state(now_s)
            publish(topics.camera_status(camera.id), state)
            if not self._stopping.is_set():
                self._reports[camera.id].look_after(state, now_s)
        cameras = {
            camera.id: {"source": str(camera.settings.source), "decoder": camera.decoder or None}
            for camera in self._scope.cameras
        }
        info = {
            **self._scope.info,
            "cameras": cameras,
            "clock": {"synced": self._outlets.clock.now().synced},
        }
        publish(topics.info, json.dumps(info, ensure_ascii=False))

    def _beat(self) -> None:
        """A heartbeat a second, and only while the inference loop turns."""
        now_s = self._outlets.clock.uptime_s()
        turns = self._inference_turns()
        if now_s < self._heartbeat_due_s or turns == self._turns_seen:
            return
        self._turns_seen = turns
        self._heartbeat_due_s = now_s + HEARTBEAT_S
        cameras = {}
        for camera in self._scope.cameras:
            last_s = camera.last_frame_uptime_s
            cameras[camera.id] = {
                "state": camera.state(now_s),
                "age_s": None if last_s is None else round(now_s - last_s, 3),
                "fps": round(self.rates[camera.id].per_second(now_s), 1),
            }
        body = json.dumps({"session": self._scope.desk.session, "cameras": cameras})
        topic = self._outlets.topics.heartbeat
        self._outlets.publisher.publish(topic, body, qos=0, kind="heartbeat")
