"""A camera that is decoded by hardware where that works, and in software where it does not."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from edge.capture.source import ReopenSource, Source, SourceError, StreamInfo, Wait
from edge.frame import Image

LOG = logging.getLogger(__name__)

# After each failure in a row; then an hour, and no working stream is interrupted for it any more.
_AGAIN_AFTER_S = (60.0, 600.0, 3600.0)
_STEADY_S = 10.0  # a stream that has lived so long was not ended by its decoder
_MOST_SHORT = 3  # streams in a row that end sooner


class HardwareTrial:
    """Whether one camera's hardware decoder is worth an attempt; outlives its sources.

    ``failure`` says why it is not in use, or was not when it was last tried.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self.failure = ""
        self._failures = 0
        self._again_s = 0.0
        self._short = 0

    @property
    def due(self) -> bool:
        """It may be tried when the camera is opened."""
        return not self.failure or self._monotonic() >= self._again_s

    @property
    def worth_an_interruption(self) -> bool:
        """It failed, and is due so that a stream which works in software should make way."""
        return bool(self.failure) and self._failures <= len(_AGAIN_AFTER_S) and self.due

    def failed(self, why: str) -> None:
        """It failed on a camera that works in software."""
        delay_s = _AGAIN_AFTER_S[min(self._failures, len(_AGAIN_AFTER_S) - 1)]
        self._failures += 1
        self._again_s = self._monotonic() + delay_s
        self.failure, self._short = why, 0

    def delivered(self) -> None:
        self.failure = ""

    def ended(self, lived_s: float, why: str) -> None:
        """A stream through it has ended. One that does so at once each time counts as a failure."""
        self._short = self._short + 1 if lived_s < _STEADY_S else 0
        if self._short >= _MOST_SHORT:
            self.failed(f"it ended {_MOST_SHORT} times within {_STEADY_S:g} s ({why})")
        elif not self._short:
            self._failures = 0


class SoftwareSource(Source, Protocol):
    """Also tells, once open, the stream's ``codec`` by FFmpeg's name."""

    @property
    def codec(self) -> str: ...


# Of a stream that was just seen: the sources to try in order, or why there is none ("": so be it).
Hardware = Callable[[str, StreamInfo], tuple[Sequence[Source], str]]


class HardwareFirst:
    """Opens in software, looks what the camera sends, and closes that before it tries hardware.

    So there is never more than one session at a time, what a camera refuses is said in the
    software's words, and one that is away is not mistaken for a decoder that fails: that is one
    which delivers nothing from a camera that delivers before and after in software.
    """

    def __init__(
        self,
        software: SoftwareSource,
        hardware: Hardware,
        trial: HardwareTrial,
        wait: Wait,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._software, self._hardware = software, hardware
        self._source: Source = software
        self._trial, self._wait, self._monotonic = trial, wait, monotonic
        self._in_hand = False  # the frame that opening took, to see whether one comes
        self._opened_s = 0.0
        self.fallen_back = ""

    @property
    def decoder(self) -> str:
        return self._source.decoder

    @property
    def description(self) -> StreamInfo:
        return self._source.description

    def open(self) -> None:
        self._source = self._software
        self._software.open()
        sources, self.fallen_back = self._hardware(self._software.codec, self._software.description)
        if sources and self._trial.due:
            self._software.close()
            self._try(sources)
        elif sources:
            self.fallen_back = self._trial.failure
        self._opened_s = self._monotonic()

    def grab(self) -> float | None:
        if self._in_hand:
            self._in_hand = False
            return None
        if self._source is not self._software:
            try:
                return self._source.grab()
            except SourceError as error:
                self._trial.ended(self._monotonic() - self._opened_s, str(error))
                raise
        if self.fallen_back and self._trial.worth_an_interruption:
            raise ReopenSource
        return self._software.grab()

    def retrieve(self) -> Image:
        return self._source.retrieve()

    def close(self) -> None:
        self._in_hand = False
        self._software.close()
        self._source.close()

    def _try(self, sources: Sequence[Source]) -> None:
        """Go on with the first source that delivers a frame, else in software."""
        failures = []
        for source in sources:
            failure = self._failure_of(source)
            if failure is None:
                self._source, self._in_hand = source, True
                self._trial.delivered()
                return
            failures.append(failure)
        self._next_step()
        self._software.open()
        self._next_step()
        self._software.grab()  # raises where it is the camera that does not deliver
        self._in_hand = True
        self._trial.failed("; ".join(failures))
        self.fallen_back = self._trial.failure

    def _failure_of(self, source: Source) -> str | None:
        """Open it and take a frame; what went wrong, with the source closed again."""
        self._source = source  # closed by `close`, whatever is raised here
        try:
            self._next_step()
            source.open()
            self._next_step()
            source.grab()
        except SourceError as error:
            source.close()
            self._source = self._software
            return str(error)
        return None

    def _next_step(self) -> None:
        """Each step is a call of its own to whoever watches for one that hangs."""
        self._wait(0)
