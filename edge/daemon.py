"""The daemon: builds the parts in the order a frame meets them, watches them, and stops them."""

import logging
import math
import os
import platform
import queue
import secrets
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from edge.capture.address import FileAddress
from edge.capture.camera import Camera
from edge.capture.slot import FrameSlots
from edge.clock import Clock
from edge.config import CameraSettings, Config
from edge.health import DaemonHealth
from edge.http.server import HttpServer
from edge.inference.loop import InferenceLoop, Inferred
from edge.metrics import Metrics
from edge.outlets import Outlets
from edge.process import raise_descriptor_limit, thread_cpu_ns
from edge.report import report
from edge.state_lock import state_folder_locked
from edge.stop import StopRequest
from edge.switches import CameraSwitches
from edge.systemd import Notifier
from edge.version import __version__

if TYPE_CHECKING:
    from edge.model_loading import LoadedModel
    from edge.rfdetr.checkpoint import Checkpoint

TICK_S = 0.5
# Stopping takes 10 s at most: each step has its share, and the flush what is left of them.
STOP_WITHIN_S = 9.0
CAPTURE_STOP_S = 1.0
INFERENCE_STOP_S = 4.0  # a large model on a CPU needs seconds to finish its frame
EVENTS_STOP_S = 1.0
FLUSH_S, FAREWELL_S, DISCONNECT_S = 5.0, 0.5, 1.5
HTTP_STOP_S = 1.0
EXTEND_START_S = 60
MOST_ABANDONED = 4  # capture threads that hang, over all cameras

log = logging.getLogger(__name__)


class CapturesStuck(Exception):  # noqa: N818 - says what is the matter
    """So many capture threads hang in calls that do not return that only a new process helps."""

    exit_code = 1


def max_age_s(camera: CameraSettings) -> float:
    """The age from which a frame is not inferred; a file read without pace has all the time."""
    unpaced = isinstance(camera.source, FileAddress) and not camera.source.pace
    return math.inf if unpaced else camera.max_frame_age_ms / 1000


class Daemon:
    """One run of the daemon, by the main thread, until ``stop`` is asked (by anybody)."""

    def __init__(
        self,
        config: Config,
        config_file: str,
        stop: StopRequest,
        clock: Clock | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        self._config, self._config_file = config, config_file
        self._clock = clock or Clock()
        self._notifier = notifier or Notifier()
        self._session = secrets.token_hex(4)
        self._stop = stop
        self._stopping = threading.Event()
        self._stop_inference = threading.Event()
        self._stop_events = threading.Event()
        self._wake = threading.Event()  # something for the main thread to look at; not for signals
        self._failure: BaseException | None = None
        self._model: LoadedModel | None = None
        self._load_worked_ns = 0

        self._metrics = Metrics()
        self._slots = FrameSlots([camera.id for camera in config.cameras])
        self._cameras = [
            Camera(camera, self._slots[camera.id], self._metrics, self._clock)
            for camera in config.cameras
        ]
        self._results: queue.Queue[Inferred] = queue.Queue(maxsize=1)
        self._loop = InferenceLoop(
            self._slots,
            self._results,
            {camera.id: max_age_s(camera) for camera in config.cameras},
            self._metrics,
            self._clock,
        )
        self._outlets = Outlets.of(config, self._session, self._metrics, self._clock)
        self._publisher, self._delivery = self._outlets.publisher, self._outlets.delivery
        self._snapshots = self._outlets.snapshots
        self._switches = CameraSwitches(self._cameras, self._outlets, self._wake)
        self._health = DaemonHealth(
            config.node, self._cameras, self._clock, lambda: self._publisher.connected
        )
        self._http = HttpServer(config.http, self._health, self._outlets.board, self._metrics)
        self._inference = self._thread("inference", self._infer)
        self._spool = self._thread("spool", self._delivery.run)
        self._drawing = self._thread("snapshots", lambda: self._snapshots.run(self._stop_events))
        self._events: threading.Thread | None = None

    def run(self) -> int:
        """Run until asked to stop, or until every file has ended; returns the exit code.

        Raises what made it impossible to go on, after everything was stopped in order.
        """
        # The MQTT client's thread has nobody to watch it: what ends it ends the daemon.
        threading.excepthook = lambda uncaught: self._fail(uncaught.exc_value)
        with state_folder_locked(self._config.state_dir):
            try:
                self._startup()
                self._main_loop()
            finally:
                self._shutdown()
                threading.excepthook = threading.__excepthook__
        if self._failure is not None:
            raise self._failure
        return 0

    # -- main thread, in order --------------------------------------------------------------------

    def _startup(self) -> None:
        raise_descriptor_limit()
        log.info(
            "rfdetr-edge %s, node %s, session %s", __version__, self._config.node, self._session
        )
        self._http.start()
        log.info("page and metrics at %s", self._http.url)
        self._switches.restore()
        self._outlets.home.subscribe()
        self._publisher.start()
        self._spool.start()
        self._inference.start()  # loads the model first

    def _main_loop(self) -> None:
        while not self._stop.asked:
            self._wake.wait(TICK_S)
            self._wake.clear()
            self._switches.obey()
            self._outlets.memory.retry(self._clock.uptime_s())
            if self._failure is not None:
                return
            if not self._http.is_alive():
                raise RuntimeError("the HTTP server's thread has ended")
            if self._model is None:
                self._ask_for_time()
            elif self._events is None:
                self._begin(self._model)
            else:
                self._supervise_cameras()
                if self._all_has_ended():
                    log.info("every camera's file has ended")
                    return
            self._notifier.status(self._health.status_line())
            if self._health.live()[0]:
                self._notifier.alive()

    def _ask_for_time(self) -> None:
        """While the loading thread works, systemd is to wait for it; not while it hangs."""
        worked_ns = thread_cpu_ns(self._inference.native_id)
        if worked_ns > self._load_worked_ns:
            self._load_worked_ns = worked_ns
            self._notifier.extend_start(EXTEND_START_S)

    def _all_has_ended(self) -> bool:
        """Every source was a file, and the last frame of each is reported."""
        return all(camera.ended and self._slots.all_done(camera.id) for camera in self._cameras)

    def _supervise_cameras(self) -> None:
        for camera in self._cameras:
            camera.supervise(self._clock.uptime_s())
        if sum(camera.abandoned for camera in self._cameras) >= MOST_ABANDONED:
            raise CapturesStuck(f"{MOST_ABANDONED} capture threads hang: only a new process helps")

    def _begin(self, model: "LoadedModel") -> None:
        """The model is warm: open the cameras and tell the world."""
        # These bring torch: importing them at the top would keep the page waiting for it.
        from edge.camera_report import Desk
        from edge.reporter import Reporter

        checkpoint = model.checkpoint
        variant = checkpoint.variant.name
        desk = Desk.of(self._outlets, self._config, self._session, variant, checkpoint.names)
        reporter = Reporter(
            desk,
            self._results,
            self._slots,
            self._cameras,
            self._birth(checkpoint),
            lambda: self._loop.turns,
            self._stopping,
        )
        self._describe(model)
        self._health.model_is_warm(
            variant,
            {
                "inference": lambda: self._loop.turned_uptime_s,
                "events": lambda: reporter.turned_uptime_s,
                "spool": lambda: self._delivery.turned_uptime_s,
            },
            reporter.rates,
        )
        reporter.publish_state()
        self._publisher.settle()
        reporter.end_left_open()
        self._events = self._thread("events", lambda: reporter.run(self._stop_events))
        self._events.start()
        if self._snapshots.wanted:
            self._drawing.start()
        for camera in self._cameras:
            camera.start()
        self._notifier.ready()
        log.info("ready")

    def _shutdown(self) -> None:
        """Stop capture, finish what was inferred, say ``stopped``; within 10 s whatever hangs."""
        started_s = time.monotonic()
        self._notifier.stopping()
        self._stopping.set()
        for camera in self._cameras:
            camera.stop()
        for camera in self._cameras:
            camera.join(max(0.0, started_s + CAPTURE_STOP_S - time.monotonic()))
        stuck = any(not camera.join(0) or camera.abandoned for camera in self._cameras)
        # One loop after the other: what inference finishes now still goes out.
        self._stop_inference.set()
        stuck |= not self._finished(self._inference, INFERENCE_STOP_S)
        for frame in self._slots.drain():
            self._metrics.frames_dropped.labels(frame.camera, "shutdown").inc()
        self._stop_events.set()
        stuck |= not self._finished(self._events, EVENTS_STOP_S)
        stuck |= not self._finished(self._drawing, EVENTS_STOP_S)
        flushed_s = started_s + STOP_WITHIN_S - DISCONNECT_S
        flushed_s = min(flushed_s, time.monotonic() + FLUSH_S)
        self._delivery.stop(flushed_s - FAREWELL_S - time.monotonic())
        self._publisher.stop(b"stopped", flushed_s - time.monotonic())
        self._http.stop(HTTP_STOP_S)
        self._outlets.memory.retry(math.inf)
        log.info("stopped")
        if stuck:
            self._leave_at_once()

    @staticmethod
    def _finished(thread: threading.Thread | None, within_s: float) -> bool:
        if thread is not None and thread.is_alive():
            thread.join(within_s)
        return thread is None or not thread.is_alive()

    def _leave_at_once(self) -> None:
        """A thread is in a load, a read or a kernel that cannot be interrupted.

        Nobody waits for it, and the interpreter must not be taken down around it.
        """
        failure = self._failure or sys.exc_info()[1]
        code = 0 if failure is None else report(failure)
        logging.shutdown()
        sys.stderr.flush()
        os._exit(code)

    # -- the inference thread ---------------------------------------------------------------------

    def _infer(self) -> None:
        # Late imports: torch takes a second or more, and the page should answer before that.
        from edge.model_loading import load_model

        self._model = load_model(self._config, self._config_file)
        self._wake.set()
        self._loop.run(self._model.engine, self._stop_inference)

    # -- what this run is -------------------------------------------------------------------------

    def _birth(self, checkpoint: "Checkpoint") -> dict[str, object]:
        """The birth message, without its clock."""
        return {
            "version": __version__,
            "session": self._session,
            "node": self._config.node,
            "model": checkpoint.variant.name,
            "checkpoint_sha256": checkpoint.sha256,
            "labels": [name for name in checkpoint.names if name is not None],
            "cameras": {
                camera.id: {"source": str(camera.settings.source)} for camera in self._cameras
            },
        }

    def _describe(self, model: "LoadedModel") -> None:
        import torch

        self._metrics.model_info.labels(
            model=model.checkpoint.variant.name,
            sha256=model.checkpoint.sha256,
            device=str(model.engine.device),
            precision=str(model.engine.precision).removeprefix("torch."),
        ).set(1)
        self._metrics.build_info.labels(
            version=__version__, torch=torch.__version__, python=platform.python_version()
        ).set(1)

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        """A thread whose failure ends the daemon."""

        def run() -> None:
            try:
                work()
            except BaseException as error:
                self._fail(error)

        return threading.Thread(target=run, name=name, daemon=True)

    def _fail(self, error: BaseException | None) -> None:
        """Called in any thread: the main thread raises the first failure after a clean stop."""
        self._failure = self._failure or error or RuntimeError("a thread has ended")
        self._wake.set()
