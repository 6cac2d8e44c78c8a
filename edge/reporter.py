"""The events thread's work: from inferred frames to messages, statuses and pictures."""

import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from edge.capture.camera import Camera
from edge.capture.timing import RateCap
from edge.clock import Clock
from edge.config import CameraSettings
from edge.events.geometry import geometry
from edge.events.message import FrameMessageBuilder
from edge.events.summary import summarise
from edge.http.board import PictureBoard
from edge.inference.loop import Inferred
from edge.metrics import Metrics
from edge.publish.mqtt import Publisher
from edge.publish.topics import Topics
from edge.rates import RateMeter

TURN_S = 0.2  # the longest an empty turn takes
HEARTBEAT_S = 1.0

log = logging.getLogger(__name__)


class Reporter:
    """Owned by the events thread; ``rates`` and ``turned_uptime_s`` may be read by any.

    ``names`` are the model's labels by class row; ``info`` is the birth message without its clock,
    which is added here, since it may change while we run.
    """

    def __init__(
        self,
        results: "queue.Queue[Inferred]",
        cameras: Mapping[str, Camera],
        settings: Sequence[CameraSettings],
        names: Sequence[str | None],
        messages: FrameMessageBuilder,
        info: Mapping[str, object],
        publisher: Publisher,
        topics: Topics,
        board: PictureBoard,
        metrics: Metrics,
        clock: Clock,
        inference_turns: Callable[[], int],
    ) -> None:
        self._results, self._cameras = results, cameras
        self._settings = {camera.id: camera for camera in settings}
        self._classes = {c.id: None if c.classes is None else set(c.classes) for c in settings}
        self._names, self._messages, self._info = names, messages, info
        self._publisher, self._topics, self._board = publisher, topics, board
        self._metrics, self._clock = metrics, clock
        self._inference_turns, self._turns_seen = inference_turns, -1
        self._session = str(info["session"])
        self._heartbeat_due_s = 0.0
        self._rate_caps = {
            camera.id: RateCap(camera.frame_max_fps) for camera in settings if camera.frame_max_fps
        }
        self.rates = {camera: RateMeter() for camera in self._settings}
        self.turned_uptime_s = clock.uptime_s()

    def run(self, stop: threading.Event) -> None:
        """Turn until ``stop``, then report what is still in the queue."""
        while not stop.is_set():
            self.turn(TURN_S)
        while not self._results.empty():
            self.turn(0)

    def turn(self, timeout_s: float) -> None:
        try:
            inferred = (
                self._results.get(timeout=timeout_s) if timeout_s else self._results.get_nowait()
            )
        except queue.Empty:
            inferred = None
        if inferred is not None:
            self._report(inferred)
        self.publish_state()
        self._beat()
        self.turned_uptime_s = self._clock.uptime_s()

    def publish_state(self) -> None:
        """Bring the retained topics up to date; what has not changed is not sent again."""
        now_s = self._clock.uptime_s()
        for camera in self._cameras.values():
            state = camera.state(now_s)
            self._publisher.publish_retained(self._topics.camera_status(camera.id), state)
        info = {**self._info, "clock": {"synced": self._clock.now().synced}}
        self._publisher.publish_retained(self._topics.info, json.dumps(info, ensure_ascii=False))

    def _report(self, inferred: Inferred) -> None:
        frame, detections = inferred.frame, inferred.detections
        settings = self._settings[frame.camera]
        start = time.perf_counter()
        objects = summarise(
            detections, self._names, self._classes[frame.camera], settings.min_area_fraction
        )
        summarised = time.perf_counter()
        self._metrics.stage.labels("summarise").observe(summarised - start)
        for seen in objects:
            self._metrics.detections.labels(frame.camera, seen.label).inc()
        self._board.post(frame.camera, frame, detections, objects)
        now_s = self._clock.uptime_s()
        self.rates[frame.camera].count(now_s)
        rate_cap = self._rate_caps.get(frame.camera)
        if settings.frames == "off" or (rate_cap is not None and not rate_cap.allows(now_s)):
            return
        outlines = []
        if settings.geometry != "none":
            logits = detections.mask_logits[[seen.detection for seen in objects]]
            outlines = geometry(logits, frame.size, settings.geometry)
        payload = self._messages.build(
            frame, objects, inferred.started_uptime_s, inferred.infer_s * 1000, now_s, outlines
        )
        handed_over = self._publisher.publish_frame(self._topics.frame(frame.camera), payload)
        self._metrics.stage.labels("publish").observe(time.perf_counter() - summarised)
        if handed_over:
            age_s = self._clock.uptime_s() - frame.captured_at.uptime_s
            self._metrics.capture_to_publish.labels(frame.camera).observe(age_s)

    def _beat(self) -> None:
        """A heartbeat a second, and only while the inference loop turns."""
        now_s = self._clock.uptime_s()
        turns = self._inference_turns()
        if now_s < self._heartbeat_due_s or turns == self._turns_seen:
            return
        self._turns_seen = turns
        self._heartbeat_due_s = now_s + HEARTBEAT_S
        cameras = {}
        for camera in self._cameras.values():
            last_s = camera.last_frame_uptime_s
            cameras[camera.id] = {
                "state": camera.state(now_s),
                "age_s": None if last_s is None else round(now_s - last_s, 3),
                "fps": round(self.rates[camera.id].per_second(now_s), 1),
            }
        body = json.dumps({"session": self._session, "cameras": cameras})
        self._publisher.publish(self._topics.heartbeat, body, qos=0, kind="heartbeat")
