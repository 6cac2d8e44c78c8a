"""One camera: a thread that opens it, hands on its frames, and opens it again when it fails."""

import logging
import re
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from edge.capture.accounts import FrameAccounts
from edge.capture.address import FileAddress
from edge.capture.ignore import IgnoreMask
from edge.capture.slot import FrameSlot
from edge.capture.source import (
    KEYFRAME_WAIT_S,
    DamagedFrame,
    EndOfSource,
    Source,
    SourceError,
    StreamInfo,
    Wait,
    open_source,
)
from edge.capture.timing import Backoff, RateCap
from edge.clock import Clock, Timestamp
from edge.config import CameraSettings
from edge.frame import Frame
from edge.metrics import Metrics

LOG = logging.getLogger(__name__)

ONLINE_S = 5.0  # a camera is online while its last frame is not older
STUCK_S = 30.0  # a call into a source that takes longer never returns, as far as we care
STEADY_S = 10.0  # frames for this long make the next failure a first one again

Opener = Callable[[CameraSettings, int, Wait], Source]


class _Replaced(Exception):  # noqa: N818
    """Ends a capture thread that came back after another one took its place."""


class _Tenure:
    """One capture thread's time in charge of its camera; once ``over``, its work counts no more."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.over = False
        self.busy_since_s: float | None = None  # uptime when a call into the source began
        self.thread: threading.Thread | None = None


def stuck_after_s(settings: CameraSettings) -> float:
    """After how long one call into the source never returns: longer than any that is healthy.

    Opening applies its timeout to the connection and again to the stream's description; waiting for
    a first picture ends `KEYFRAME_WAIT_S` or one read timeout later.
    """
    opening_s = 2 * settings.open_timeout_s
    reading_s = max(KEYFRAME_WAIT_S, settings.read_timeout_s) + settings.read_timeout_s
    return max(STUCK_S, opening_s + 2, reading_s + 2)


class Camera:
    """Owns the capture thread of one camera and accounts for every frame up to its slot.

    Only the capture thread touches the source. ``size`` is (height, width) of the last frame;
    ``reason`` says in one sentence, without credentials, why the camera does not deliver, and is
    empty while it does; ``ended`` tells that a file which is not looped is over; ``description``
    and ``decoder`` are the source's, once it was opened.
    """

    def __init__(
        self,
        settings: CameraSettings,
        slot: FrameSlot,
        metrics: Metrics,
        clock: Clock | None = None,
        opener: Opener = open_source,
        backoff: Backoff | None = None,
    ) -> None:
        self.id = settings.id
        self.settings = settings
        self.ended = False
        self.reason = ""
        self.size: tuple[int, int] | None = None
        self.description: StreamInfo | None = None
        self.decoder = ""
        self._slot = slot
        self._clock = clock or Clock()
        self._opener = opener
        self._backoff = backoff or Backoff()
        self._accounts = FrameAccounts(settings.id, metrics)
        self._ignore = IgnoreMask(settings.ignore)
        self._rate_cap = RateCap(settings.max_fps) if settings.max_fps else None
        source = settings.source
        self._every_frame = isinstance(source, FileAddress) and not source.pace
        self._waits_for_slot = False
        self._logged_reason = ""
        self._announce = True  # log the next frame: it is the first, or ends a logged failure
        self._stuck_s = stuck_after_s(settings)
        self._lock = threading.Lock()
        self._tenure: _Tenure | None = None
        self._abandoned: list[threading.Thread] = []

    # -- for the main thread --------------------------------------------------------------------

    def start(self) -> None:
        """Start capturing, or start again after `stop` and `join`; frame ids go on."""
        self.ended = False
        self._put_in_charge(_Tenure())

    def stop(self) -> None:
        """Tell the thread to stop; what it waits for on purpose ends at once."""
        if self._tenure is not None:
            self._tenure.stop.set()
            self._slot.wake()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread to end; False where it hangs in a call (it is a daemon thread)."""
        if self._tenure is None or self._tenure.thread is None:
            return True
        self._tenure.thread.join(timeout_s)
        return not self._tenure.thread.is_alive()

    @property
    def last_frame_uptime_s(self) -> float | None:
        return self._accounts.last_frame_s

    @property
    def abandoned(self) -> int:
        """Replaced capture threads that still hang."""
        return sum(thread.is_alive() for thread in self._abandoned)

    def state(self, now_uptime_s: float) -> Literal["online", "offline"]:
        """Online: started, not ended, and the last frame is at most 5 s old."""
        last = self.last_frame_uptime_s
        if last is None or self.ended or self._tenure is None or self._tenure.stop.is_set():
            return "offline"
        # A file that is read as fast as it is used has its next frame ready, however long it waits.
        delivers = self._waits_for_slot or now_uptime_s - last <= ONLINE_S
        return "online" if delivers else "offline"

    def supervise(self, now_uptime_s: float) -> None:
        """Replace a capture thread that hangs; call it every second or so.

        The old thread is left alone with its source: a source that is released while another
        thread is inside it crashes the process. After a few of them only a new process helps:
        the caller counts ``abandoned`` over its cameras.
        """
        tenure = self._tenure
        if tenure is None or tenure.stop.is_set():
            return
        with self._lock:
            if self.state(now_uptime_s) == "offline":
                self._accounts.silent()
            since = tenure.busy_since_s
            if since is None or now_uptime_s - since <= self._stuck_s:
                return
            tenure.over = True
            tenure.stop.set()
            self._accounts.failed()
            self.reason = (
                f"the camera did not answer for {self._stuck_s:g} s; its thread was replaced"
            )
        LOG.error("camera %s: %s", self.id, self.reason)
        self._announce = True
        if tenure.thread is not None:
            self._abandoned.append(tenure.thread)
        self._put_in_charge(_Tenure())

    def _put_in_charge(self, tenure: _Tenure) -> None:
        name = f"capture-{self.id}"
        tenure.thread = threading.Thread(target=self.run, args=(tenure,), name=name, daemon=True)
        self._tenure = tenure
        tenure.thread.start()

    # -- the capture thread ---------------------------------------------------------------------

    def run(self, tenure: _Tenure) -> None:
        """Capture until told to stop or the file is over; after a failure, wait and try again."""
        try:
            while not tenure.stop.is_set():
                try:
                    self.run_once(tenure)
                except SourceError as error:
                    self._retry_later(tenure, str(error))
                except EndOfSource:
                    self._end(tenure)
                    return
                except _Replaced:
                    raise
                except Exception as error:
                    reason = f"capture failed unexpectedly ({type(error).__name__})"
                    details = re.sub(r"://[^/\s]*@", "://***@", traceback.format_exc())
                    self._retry_later(tenure, reason, details)
            with self._in_charge(tenure):
                self._accounts.silent()
        except _Replaced:
            LOG.info("camera %s: a capture thread that had been replaced came back", self.id)

    def run_once(self, tenure: _Tenure) -> None:
        """Open the camera and hand its frames on until told to stop; raises as its source does."""
        with self._in_charge(tenure):
            self._accounts.opening()
            next_id = self._accounts.next_id
        source = self._opener(self.settings, next_id, lambda s: self._pause(tenure, s))
        try:
            self._enter_call(tenure)
            source.open()
            with self._in_charge(tenure):
                self.description, self.decoder = source.description, source.decoder
            while not tenure.stop.is_set():
                self._enter_call(tenure)
                source.grab()
                taken_at = self._clock.now()
                if tenure.stop.is_set():
                    break
                self._take(tenure, source, taken_at)
        finally:
            self._enter_call(tenure)
            source.close()
            tenure.busy_since_s = None

    def _take(self, tenure: _Tenure, source: Source, taken_at: Timestamp) -> None:
        """Bring the frame that ``source`` has just grabbed to the slot, or count why not."""
        with self._in_charge(tenure):
            frame_id = self._accounts.captured(taken_at)
            if self._rate_cap is not None and not self._rate_cap.allows(taken_at.uptime_s):
                self._accounts.dropped("rate")
                return
        try:
            image = source.retrieve()
        except DamagedFrame:
            with self._in_charge(tenure):
                self._accounts.dropped("error")
            return
        self._ignore.blacken(image)
        frame = Frame(self.id, frame_id, taken_at, image)
        tenure.busy_since_s = None
        if self._every_frame:
            self._waits_for_slot = True
            put = self._slot.put_when_empty(frame, tenure.stop)
            self._waits_for_slot = False
            with self._in_charge(tenure):
                if not put:
                    self._accounts.dropped("shutdown")
                    return
                self._accounts.handed_on(overwrote=False)
                self._delivered(frame)
        else:
            with self._in_charge(tenure):
                overwritten = self._slot.put(frame)
                self._accounts.handed_on(overwrote=overwritten is not None)
                self._delivered(frame)

    def _delivered(self, frame: Frame) -> None:
        self.size = height, width = frame.size
        self.reason = ""
        if self._announce:
            self._announce = False
            LOG.info("camera %s: delivers %dx%d, %s", self.id, width, height, self.description)

    def _retry_later(self, tenure: _Tenure, reason: str, details: str = "") -> None:
        """Note the failure and wait; a reason is logged when it is new, not with each attempt."""
        with self._in_charge(tenure):
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
        self._pause(tenure, delay_s)
        tenure.busy_since_s = None

    def _end(self, tenure: _Tenure) -> None:
        with self._in_charge(tenure):
            self._accounts.silent()
            self.reason = "the file has ended"
            self.ended = True
        LOG.info("camera %s: %s", self.id, self.reason)

    @contextmanager
    def _in_charge(self, tenure: _Tenure) -> Iterator[None]:
        """What others see is changed in here only. Raises `_Replaced` in a replaced thread."""
        with self._lock:
            if tenure.over:
                raise _Replaced
            yield

    def _enter_call(self, tenure: _Tenure) -> None:
        """Note that a call into the source begins: `supervise` watches how long it takes."""
        tenure.busy_since_s = self._clock.uptime_s()

    def _pause(self, tenure: _Tenure, seconds: float) -> None:
        """Wait on purpose, which is no hanging; also what a paced source waits with."""
        tenure.busy_since_s = None
        tenure.stop.wait(seconds)
        self._enter_call(tenure)
