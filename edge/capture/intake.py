"""The way of a captured frame into its slot, or why it does not get there."""

from collections.abc import Callable

from edge.capture.accounts import FrameAccounts
from edge.capture.address import FileAddress
from edge.capture.ignore import IgnoreMask
from edge.capture.own_time import OwnTime
from edge.capture.slot import FrameSlot
from edge.capture.source import DamagedFrame, Source
from edge.capture.tenure import Tenure
from edge.capture.timing import RateCap
from edge.clock import Timestamp
from edge.config import CameraSettings
from edge.frame import Frame


class Intake:
    """Used by the capture thread in charge; ``follow`` may be called by any, under the lock.

    ``delivered(frame)`` is called under the camera's lock with each frame that is in the slot.
    """

    def __init__(
        self,
        settings: CameraSettings,
        slot: FrameSlot,
        accounts: FrameAccounts,
        delivered: Callable[[Frame], None],
    ) -> None:
        self._camera = settings.id
        self._slot, self._accounts, self._delivered = slot, accounts, delivered
        self._own_time = OwnTime()
        self.follow(settings)

    def follow(self, settings: CameraSettings) -> None:
        """From the next frame on, these settings count."""
        self._ignore = IgnoreMask(settings.ignore)
        self._rate_cap = RateCap(settings.max_fps) if settings.max_fps else None
        source = settings.source
        self._every_frame = isinstance(source, FileAddress) and not source.pace

    def opening(self) -> None:
        """A source is about to be opened: its time begins anew."""
        self._own_time.opening()

    def take(
        self, tenure: Tenure, source: Source, taken_at: Timestamp, own_s: float | None
    ) -> None:
        """Bring the frame that ``source`` has just grabbed to the slot, or count why not."""
        with tenure.in_charge():
            frame_id = self._accounts.captured(taken_at)
            captured_at = self._own_time.captured_at(taken_at, own_s)
            if self._rate_cap is not None and not self._rate_cap.allows(captured_at.uptime_s):
                self._accounts.dropped("rate")
                return
        try:
            image = source.retrieve()
        except DamagedFrame:
            with tenure.in_charge():
                self._accounts.dropped("error")
            return
        self._ignore.blacken(image)
        frame = Frame(self._camera, frame_id, captured_at, image)
        tenure.busy_since_s = None
        slot_is_free = not self._every_frame or self._wait_for_slot(tenure)
        with tenure.in_charge():
            if not slot_is_free:
                self._accounts.dropped("shutdown")
                return
            overwritten = self._slot.put(frame)
            self._accounts.handed_on(overwrote=overwritten is not None)
            self._delivered(frame)

    def _wait_for_slot(self, tenure: Tenure) -> bool:
        """Nobody but us puts frames there: once empty, the slot stays so."""
        tenure.waits_for_slot = True
        empty = self._slot.wait_empty(tenure.stop)
        tenure.waits_for_slot = False
        return empty
