"""One camera: a thread that opens it, hands on its frames, and opens it again when it fails."""

import logging
import re
import threading
import time
import traceback
from collections.abc import Callable
from typing import Literal

from edge.capture.accounts import FrameAccounts
from edge.capture.decoders import SourceOpener
from edge.capture.intake import Intake
from edge.capture.slot import FrameSlot
from edge.capture.source import (
    EndOfSource,
    ReopenSource,
    Source,
    SourceError,
    StreamInfo,
    Wait,
)
from edge.capture.tenure import Tenure, TenureOver, stuck_after_s
from edge.capture.timing import Backoff
from edge.clock import Clock
from edge.config import CameraSettings
from edge.frame import Frame
from edge.metrics import Metrics

LOG = logging.getLogger(__name__)

ONLINE_S = 5.0  # a camera is online while its last frame is not older
STEADY_S = 10.0  # frames for this long make the next failure a first one again

State = Literal["online", "degraded", "offline", "disabled"]
Unwanted = Literal["disabled", "removed"]
Opener = Callable[[CameraSettings, int, Wait], Source]

# The settings with which a source is opened; with others in them it has to be opened anew.
_OF_THE_SOURCE = ("source", "transport", "decoder", "open_timeout_s", "read_timeout_s")


class Camera:
    """Owns the capture thread of one camera and accounts for every frame up to its slot.

    Only the capture thread touches the source. ``enabled`` is False while the camera is switched
    off; ``size`` is (height, width) of the last frame; ``reason`` says in one sentence, without
    credentials, why the camera does not deliver, and is empty while it does; ``ended`` tells that a
    file which is not looped is over; ``description``, ``decoder`` and ``fallen_back`` are the
    source's, once it was opened. ``throttled()`` says in one sentence why fewer frames are inferred
    than could be, of all cameras, or is empty.
    """

    def __init__(
        self,
        settings: CameraSettings,
        slot: FrameSlot,
        metrics: Metrics,
        clock: Clock | None = None,
        opener: Opener | None = None,
        backoff: Backoff | None = None,
        throttled: Callable[[], str] = lambda: "",
    ) -> None:
        self.id = settings.id
        self.settings = settings
        self.enabled = True
        self.ended = False
        self.reason = ""
        self.size: tuple[int, int] | None = None
        self.description: StreamInfo | None = None
        self.decoder = self.fallen_back = ""
        self._slot = slot
        self._throttled = throttled
        self._clock = clock or Clock()
        self._opener = opener or SourceOpener()
        self._backoff = backoff or Backoff()
        self._accounts = FrameAccounts(settings.id, metrics)
        self._intake = Intake(settings, slot, self._accounts, self._delivered)
        self._logged_reason = ""
        self._announce = True  # log the next frame: it is the first, or ends a logged failure
        self._stuck_s = stuck_after_s(settings)
        self._lock = threading.Lock()
        self.started = False
        self._tenure: Tenure | None = None  # the one in charge
        self._leaving: list[Tenure] = []  # over, but their threads may still be in their sources
        self._wanted_from: tuple[int, Unwanted] = 0, "removed"

    # -- for the main thread --------------------------------------------------------------------

    def start(self) -> None:
        """Start capturing, or start again after `stop` and `join`; frame ids go on.

        A camera that is switched off waits for `enable`.
        """
        self.started = True
        self.ended = False
        if self._tenure is not None:
            with self._lock:
                self._dismiss(self._tenure)
        self._fill_charge()

    def stop(self) -> None:
        """Tell the thread to stop; what it waits for on purpose ends at once."""
        self.started = False
        if self._tenure is not None:
            self._tenure.stop.set()
            self._slot.wake()

    def join(self, timeout_s: float) -> bool:
        """Wait for every thread to end; False where one hangs in a call (they are daemons)."""
        deadline = time.monotonic() + timeout_s
        tenures = [*self._leaving, self._tenure] if self._tenure is not None else self._leaving
        for tenure in tenures:
            tenure.thread.join(max(0.0, deadline - time.monotonic()))
        return not any(tenure.thread.is_alive() for tenure in tenures)

    def disable(self) -> None:
        """Switch the camera off, also before `start`: its thread closes the source.

        That thread is not waited for. The frame that it has in hand is dropped and counted, and so
        is the one in the slot.
        """
        if not self.enabled:
            return
        with self._lock:
            self._want_no_more("disabled")
            self.enabled = False
            self.reason = "switched off"
        self._slot.wake()
        LOG.info("camera %s: switched off", self.id)

    def enable(self) -> None:
        """Switch the camera on again: its source is opened anew, so a file begins anew.

        That waits for the old thread, which may be in its source still; `supervise` sees to it.
        """
        if self.enabled:
            return
        with self._lock:
            self.enabled = True
            self._begin_anew()
        LOG.info("camera %s: switched on", self.id)
        self._fill_charge()

    def change(self, settings: CameraSettings) -> None:
        """Go on with other settings of the same camera, its source open where that is the same.

        What was captured with another source, or with other areas ignored, is not told of any more.
        """
        before, self.settings = self.settings, settings
        reopens = any(getattr(before, key) != getattr(settings, key) for key in _OF_THE_SOURCE)
        with self._lock:
            self._intake.follow(settings)
            self._stuck_s = stuck_after_s(settings)
            if reopens:
                self._want_no_more("removed")
                self._begin_anew()
            elif before.ignore != settings.ignore:
                self._wanted_from = self._accounts.next_id, "removed"
        self._slot.wake()
        self._fill_charge()

    def retire(self) -> None:
        """Leave the configuration: as switched off, until it comes back and is started again."""
        with self._lock:
            self.started = False
            self._want_no_more("removed")
            self._begin_anew()
        self._slot.wake()

    def supervise(self, now_uptime_s: float) -> None:
        """Replace a capture thread that hangs; call it every second or so.

        The old thread is left alone with its source: a source that is released while another
        thread is inside it crashes the process. After a few of them only a new process helps:
        the caller counts ``abandoned`` over its cameras.
        """
        tenure = self._tenure
        if tenure is not None and not tenure.stop.is_set():
            with self._lock:
                if self.state(now_uptime_s) == "offline":
                    self._accounts.silent()
                hangs = tenure.hangs(now_uptime_s, self._stuck_s)
                if hangs:
                    self._accounts.failed()
                    self._announce = True
                    self.reason = (
                        f"the camera did not answer for {self._stuck_s:g} s; "
                        "its thread was replaced"
                    )
                    self._dismiss(tenure)
            if hangs:
                LOG.error("camera %s: %s", self.id, self.reason)
        self._leaving = [tenure for tenure in self._leaving if tenure.thread.is_alive()]
        for tenure in self._leaving:
            tenure.abandoned |= tenure.hangs(now_uptime_s, self._stuck_s)
        self._fill_charge()

    def _want_no_more(self, why: Unwanted) -> None:
        """Drop and count what is in hand and in the slot, and close the source; under the lock."""
        # First: who sees that the camera is off is not to tell of an older frame after that.
        self._wanted_from = self._accounts.next_id, why
        if self._tenure is not None:
            self._dismiss(self._tenure)
        waiting = self._slot.take()
        self._accounts.switched_off(frame_waits=waiting is not None)

    def _begin_anew(self) -> None:
        """Forget how it went so far; the caller holds the lock."""
        self.ended = False
        self.reason = "" if self.enabled else "switched off"
        self._logged_reason = self.fallen_back = ""
        self._announce = True
        self._backoff.reset()

    def _dismiss(self, tenure: Tenure) -> None:
        """End the tenure in charge; the caller holds the lock."""
        tenure.over = True
        tenure.stop.set()
        self._leaving.append(tenure)
        self._tenure = None

    def _fill_charge(self) -> None:
        """Start a capture thread where one is wanted, once nobody else is in the source.

        Few cameras bear two at a time. One that hangs for good is not waited for.
        """
        wanted = self.started and self.enabled and self._tenure is None
        if wanted and all(old.abandoned or not old.thread.is_alive() for old in self._leaving):
            self._tenure = Tenure(self.id, self.run, self._clock, self._lock)
            self._tenure.thread.start()

    # -- for any thread -------------------------------------------------------------------------

    @property
    def last_frame_uptime_s(self) -> float | None:
        """When the newest frame was captured; None before the first, and while switched off."""
        return self._accounts.last_frame_s

    @property
    def abandoned(self) -> int:
        """Capture threads that hang and that nobody waits for any more."""
        return sum(tenure.abandoned and tenure.thread.is_alive() for tenure in self._leaving)

    def state(self, now_uptime_s: float) -> State:
        """Disabled: switched off. Online: started, not ended, the last frame at most 5 s old;
        degraded: that, but with something wrong (`degraded`).
        """
        tenure, last_s = self._tenure, self.last_frame_uptime_s
        if not self.enabled:
            return "disabled"
        if tenure is None or tenure.stop.is_set() or self.ended or last_s is None:
            return "offline"
        # A file that is read as fast as it is used has its next frame ready, however long it waits.
        delivers = tenure.waits_for_slot or now_uptime_s - last_s <= ONLINE_S
        if not delivers:
            return "offline"
        return "degraded" if self.degraded else "online"

    @property
    def degraded(self) -> str:
        """Why less comes of the camera than could: decoded in software where hardware was asked for
        or is there, or throttled. One sentence; empty where nothing is wrong.
        """
        return self.fallen_back or self._throttled()

    @property
    def wanted_from(self) -> tuple[int, Unwanted]:
        """The id of the first frame that may be told of, and why none before it may.

        One from before the camera was switched off, or got another source, may be on its way
        through the network then, and come out afterwards.
        """
        return self._wanted_from

    # -- the capture thread ---------------------------------------------------------------------

    def run(self, tenure: Tenure) -> None:
        """Capture until told to stop or the file is over; after a failure, wait and try again."""
        try:
            while not tenure.stop.is_set():
                try:
                    self.run_once(tenure)
                except SourceError as error:
                    self._retry_later(tenure, str(error))
                except ReopenSource:
                    continue
                except EndOfSource:
                    self._end(tenure)
                    return
                except TenureOver:
                    raise
                except Exception as error:
                    reason = f"capture failed unexpectedly ({type(error).__name__})"
                    details = re.sub(r"://[^/\s]*@", "://***@", traceback.format_exc())
                    self._retry_later(tenure, reason, details)
            with tenure.in_charge():
                self._accounts.silent()
        except TenureOver:
            if tenure.abandoned:
                LOG.info("camera %s: a capture thread that had hung came back", self.id)

    def run_once(self, tenure: Tenure) -> None:
        """Open the camera and hand its frames on until told to stop; raises as its source does."""
        with tenure.in_charge():
            self._accounts.opening()
            self._intake.opening()
            next_id = self._accounts.next_id
        source = self._opener(self.settings, next_id, tenure.pause)
        try:
            tenure.enter_call()
            source.open()
            with tenure.in_charge():
                self._opened(source)
            while not tenure.stop.is_set():
                tenure.enter_call()
                own_s = source.grab()
                taken_at = self._clock.now()
                if tenure.stop.is_set():
                    break
                self._intake.take(tenure, source, taken_at, own_s)
        finally:
            tenure.enter_call()
            source.close()
            tenure.busy_since_s = None

    def _opened(self, source: Source) -> None:
        """Note what the source found, and tell of a decoder that changed."""
        before, self.fallen_back = self.fallen_back, source.fallen_back
        self.description, self.decoder = source.description, source.decoder
        self._accounts.decoded_by(source.decoder)
        if self.fallen_back and self.fallen_back != before:
            LOG.warning("camera %s: decoded in software: %s", self.id, self.fallen_back)
        elif before and not self.fallen_back:
            LOG.info("camera %s: decoded by %s again", self.id, self.decoder)

    def _delivered(self, frame: Frame) -> None:
        self.size = height, width = frame.size
        self.reason = ""
        if self._announce:
            self._announce = False
            message = "camera %s: delivers %dx%d, %s, decoder %s"
            LOG.info(message, self.id, width, height, self.description, self.decoder)

    def _retry_later(self, tenure: Tenure, reason: str, details: str = "") -> None:
        """Note the failure and wait; a reason is logged when it is new, not with each attempt."""
        with tenure.in_charge():
            if tenure.stop.is_set():  # a read that failed because we were going to stop anyway
                self._accounts.dropped("shutdown")
                return
            self._accounts.failed()
            self.reason = reason
            steady = self._accounts.steady_s() >= STEADY_S
            if steady:
                self._backoff.reset()
            repeated = reason == self._logged_reason and not steady
            self._logged_reason = reason
            self._announce = self._announce or not repeated
            delay_s = self._backoff.next_s()
        level = logging.DEBUG if repeated else logging.ERROR if details else logging.WARNING
        message = "camera %s: %s; next attempt in %.0f s%s"
        LOG.log(level, message, self.id, reason, delay_s, details and f"\n{details}")
        tenure.pause(delay_s)
        tenure.busy_since_s = None

    def _end(self, tenure: Tenure) -> None:
        with tenure.in_charge():
            self._accounts.silent()
            self.reason = "the file has ended"
            self.ended = True
        LOG.info("camera %s: %s", self.id, self.reason)
