"""The daemon: builds the parts in the order a frame meets them, watches them, and stops them."""

import logging
import math
import os
import queue
import secrets
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge.camera_group import CameraGroup
from edge.clock import Clock
from edge.config import Config, Loaded
from edge.health import DaemonHealth
from edge.http.server import HttpServer
from edge.inference.loop import InferenceLoop, Inferred
from edge.inference.pace import Pace
from edge.inference_run import InferenceRun
from edge.jetson.collector import JetsonCollector
from edge.jetson.governor import Governor
from edge.jetson.strain import BoardWatch
from edge.logs import configure
from edge.memory_room import check_room
from edge.metrics import Metrics
from edge.outlets import Outlets
from edge.process import raise_descriptor_limit
from edge.reload import Reload
from edge.reload_request import ReloadRequest
from edge.report import report
from edge.state_lock import state_folder_locked
from edge.stop import StopRequest
from edge.switches import CameraSwitches
from edge.systemd import Notifier
from edge.version import __version__

if TYPE_CHECKING:
    from edge.model_loading import LoadedModel
    from edge.rfdetr.checkpoint import Checkpoint
    from edge.scope import Scope

TICK_S = 0.5
# Stopping takes 10 s at most: each step has its share, and the flush what is left of them.
STOP_WITHIN_S = 9.0
CAPTURE_STOP_S = 1.0
INFERENCE_STOP_S = 4.0  # a large model on a CPU needs seconds to finish its frame
EVENTS_STOP_S = 1.0
FLUSH_S, FAREWELL_S, DISCONNECT_S = 5.0, 0.5, 1.5
HTTP_STOP_S = 1.0
EXTEND_START_S = 60
# How long one model may take to finish its frames before the next one goes on, and the events
# thread to take over. Past that it hangs.
HANDOVER_S = 20.0

log = logging.getLogger(__name__)


class Daemon:
    """One run of the daemon, by the main thread, until ``stop`` is asked (by anybody).

    ``reload`` and ``reread`` are for one whose configuration can be read anew. ``board`` is where
    the machine's ``/sys`` and ``/proc`` are.
    """

    def __init__(
        self,
        config: Config,
        config_file: str,
        stop: StopRequest,
        clock: Clock | None = None,
        notifier: Notifier | None = None,
        reload: ReloadRequest | None = None,
        reread: Callable[[], Loaded] | None = None,
        board: Path = Path("/"),
    ) -> None:
        self._config, self._config_file = config, config_file
        self._clock = clock or Clock()
        self._notifier = notifier or Notifier()
        self._session = secrets.token_hex(4)
        self._stop = stop
        self._stopping = threading.Event()
        self._stop_events = threading.Event()
        self._wake = threading.Event()  # something for the main thread to look at; not for signals
        self._failure: BaseException | None = None

        self._metrics = Metrics()
        self._pace = Pace(self._clock)
        self._governor = Governor(self._pace, BoardWatch(board).look)
        self._metrics.registry.register(JetsonCollector(board, lambda: self._pace.cap_per_s))
        self._cameras = CameraGroup(config.cameras, self._metrics, self._clock, self._throttled)
        self._slots = self._cameras.slots
        self._results: queue.Queue[Inferred | Scope] = queue.Queue(maxsize=1)
        self._loop = InferenceLoop(
            self._slots,
            self._results,
            self._cameras.max_age_s,
            self._metrics,
            self._clock,
            self._pace,
        )
        self._outlets = Outlets.of(config, self._session, self._metrics, self._clock)
        self._publisher, self._delivery = self._outlets.publisher, self._outlets.delivery
        self._snapshots = self._outlets.snapshots
        self._switches = CameraSwitches(self._cameras, self._outlets, self._wake)
        self._health = DaemonHealth(
            config.node,
            self._cameras,
            self._clock,
            lambda: self._publisher.connected,
            self._throttled,
        )
        self._http = HttpServer(config.http, self._health, self._outlets.board, self._metrics)
        self._inference = self._run_of(config)
        self._reload = Reload(
            config,
            reread or (lambda: Loaded(config, [])),
            reload or ReloadRequest(),
            self,
            self._metrics,
            self._notifier,
        )
        self._scope: Scope | None = None
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
        self._switches.listen()
        self._switches.follow()
        self._outlets.home.subscribe()
        self._publisher.start()
        self._spool.start()
        self._inference.start()  # loads the model first
        self._inference.begin()

    def _main_loop(self) -> None:
        while not self._stop.asked:
            self._wake.wait(TICK_S)
            self._wake.clear()
            self._switches.obey()
            self._outlets.memory.retry(self._clock.uptime_s())
            self._failure = self._failure or self._inference.failure
            if self._failure is not None:
                return
            if not self._http.is_alive():
                raise RuntimeError("the HTTP server's thread has ended")
            if self._events is not None:
                self._cameras.supervise()
                self._governor.turn(self._clock.uptime_s())
                self._reload.turn()
                self._health.refused_reload = bool(self._reload.refused)
                if self._cameras.ended:
                    log.info("every camera's file has ended")
                    return
            elif self._inference.model is not None:
                self._begin(self._inference.model)
            elif self._inference.works():  # not while it hangs
                self._notifier.extend_start(EXTEND_START_S)
            self._notifier.status(self._health.status_line())
            if self._health.live()[0]:
                self._notifier.alive()

    def _begin(self, model: "LoadedModel") -> None:
        """The model is warm: open the cameras and tell the world."""
        # These bring torch: importing them at the top would keep the page waiting for it.
        from edge.model_loading import describe
        from edge.reporter import Reporter

        reporter = Reporter(
            self._scope_of(self._config, model.checkpoint),
            self._results,
            self._slots,
            lambda: self._loop.turns,
            self._stopping,
        )
        describe(model, self._metrics)
        self._health.model = model.checkpoint.variant.name
        self._health.begin(
            {
                "inference": lambda: self._loop.turned_uptime_s,
                "events": lambda: reporter.turned_uptime_s,
                "spool": lambda: self._delivery.turned_uptime_s,
            },
            lambda: reporter.rates,
        )
        reporter.publish_state()
        self._publisher.settle()
        reporter.end_left_open()
        self._events = self._thread("events", lambda: reporter.run(self._stop_events))
        self._events.start()
        self._draw(self._config)
        self._cameras.start()
        self._notifier.ready()
        log.info("ready")

    def _draw(self, config: Config) -> None:
        """Make snapshots from now on, where any camera is to have them."""
        wanted = any(camera.snapshot != "none" for camera in config.cameras)
        if wanted and not self._drawing.is_alive():
            self._drawing.start()

    def _shutdown(self) -> None:
        """Stop capture, finish what was inferred, say ``stopped``; within 10 s whatever hangs."""
        started_s = time.monotonic()
        self._notifier.stopping()
        self._stopping.set()
        self._cameras.stop()
        stuck = not self._cameras.join(CAPTURE_STOP_S)
        # One loop after the other: what inference finishes now still goes out.
        stuck |= not self._inference.stop(INFERENCE_STOP_S)
        self._failure = self._failure or self._inference.failure
        stuck |= not self._reload.stop()
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

    # -- another configuration, and what this run is -----------------------------------------------

    def refusals(self, config: Config) -> Sequence[str]:
        """What the running model cannot do of ``config``, one line each."""
        from edge.model_loading import label_problems

        assert self._inference.model is not None
        return label_problems(config, self._config_file, self._inference.model.checkpoint.names)

    def prepare(self, config: Config) -> InferenceRun:
        """Begin to load the model of ``config`` beside the running one."""
        running = self._inference.model
        assert running is not None
        device = config.model.device
        on_cpu = running.engine.device.type == "cpu" and device == self._config.model.device
        successor = self._run_of(config, beside=True, patient=on_cpu)
        successor.start()
        return successor

    def take_over(self, config: Config, successor: InferenceRun | None) -> None:
        """Go on with ``config``, between two frames: what is on its way is still the old one's."""
        from edge.model_loading import describe

        model = (successor or self._inference).model
        assert model is not None
        if config.log != self._config.log:
            configure(config.log.level, config.log.format)
        self._config = config
        self._cameras.apply(config.cameras)
        self._switches.follow()
        if successor is not None and not self._inference.stop(HANDOVER_S):
            raise RuntimeError("the inference loop does not come to its end")
        scope = self._scope_of(config, model.checkpoint)
        self._results.put(scope, timeout=HANDOVER_S)
        if successor is not None:
            self._inference = successor
            successor.begin()
            describe(model, self._metrics)
            self._health.model = model.checkpoint.variant.name
        self._draw(config)
        self._cameras.start()

    def _run_of(
        self, config: Config, *, beside: bool = False, patient: bool = False
    ) -> InferenceRun:
        def load() -> "LoadedModel":
            # Late imports: torch takes a second or more, and the page should answer before that.
            from edge.model_loading import load_model

            if beside:
                check_room(config.model, config.cache_dir)
            return load_model(config, self._config_file)

        return InferenceRun(load, self._loop.run, self._wake.set, patient=patient)

    def _scope_of(self, config: Config, checkpoint: "Checkpoint") -> "Scope":
        from edge.camera_report import Desk
        from edge.scope import Scope

        before = None if self._scope is None else self._scope.desk
        desk = Desk.of(self._outlets, config, self._session, checkpoint, before)
        self._scope = Scope.of(desk, config.node, checkpoint.sha256, self._cameras.current)
        return self._scope

    def _throttled(self) -> str:
        return self._governor.degraded

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
