"""Which of a camera's decoders is used, and when hardware is tried again."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from edge.capture.hardware_first import HardwareFirst, HardwareTrial
from edge.capture.source import ReopenSource, Source, SourceError, StreamInfo
from edge.frame import Image

MINUTE, HOUR = 60.0, 3600.0


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Decoder:
    """A source that fails where it is told to; ``sessions`` lists all that are open."""

    fallen_back = ""

    def __init__(self, name: str, sessions: list[str]) -> None:
        self.decoder, self.codec, self._sessions = name, "h264", sessions
        self.description = StreamInfo(name)
        self.fails_to: set[str] = set()
        self.opened = 0

    def open(self) -> None:
        assert not self._sessions, "the camera had to bear two sessions"
        self._sessions.append(self.decoder)
        self.opened += 1
        self._fail("open")

    def grab(self) -> None:
        assert self._sessions == [self.decoder]
        self._fail("grab")

    def _fail(self, call: str) -> None:
        if call in self.fails_to:
            raise SourceError(f"{self.decoder} fails to {call}")

    def retrieve(self) -> Image:
        return np.zeros((2, 2, 3), np.uint8)

    def close(self) -> None:
        if self.decoder in self._sessions:
            self._sessions.remove(self.decoder)


class Rig:
    """One camera, opened anew for each try with what it remembers."""

    def __init__(self) -> None:
        self.sessions: list[str] = []
        self.clock, self.steps = Clock(), 0
        self.trial = HardwareTrial(self.clock)
        self.software = Decoder("software", self.sessions)
        self.nvidia, self.nvjpeg = (Decoder(n, self.sessions) for n in ("nvidia", "nvjpeg"))
        self.offers: tuple[Sequence[Source], str] = [self.nvidia], ""

    def source(self) -> HardwareFirst:
        return HardwareFirst(
            self.software, lambda codec, stream: self.offers, self.trial, self._step, self.clock
        )

    def opened(self) -> HardwareFirst:
        source = self.source()
        source.open()
        return source

    def reopened(self) -> HardwareFirst:
        for open_one in (self.software, self.nvidia, self.nvjpeg):
            open_one.close()
        return self.opened()

    def _step(self, seconds: float) -> None:
        assert seconds == 0
        self.steps += 1


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_hardware_is_used_after_the_software_session_is_closed(rig: Rig) -> None:
    source = rig.opened()
    assert (source.decoder, source.fallen_back) == ("nvidia", "")
    assert rig.sessions == ["nvidia"]
    rig.nvidia.fails_to = {"grab"}
    assert source.grab() is None, "the frame that opening took"
    with pytest.raises(SourceError, match="nvidia fails to grab"):
        source.grab()
    source.close()
    assert rig.sessions == []


@pytest.mark.parametrize("call", ["open", "grab"])
def test_what_fails_is_replaced_by_software(rig: Rig, call: str) -> None:
    rig.nvidia.fails_to = {call}
    source = rig.opened()
    assert source.decoder == "software"
    assert source.fallen_back == f"nvidia fails to {call}"
    assert rig.sessions == ["software"]
    assert rig.steps >= 3, "each step is a call of its own"


def test_the_next_hardware_is_tried_before_software(rig: Rig) -> None:
    rig.offers = [rig.nvidia, rig.nvjpeg], ""
    rig.nvidia.fails_to = {"open"}
    source = rig.opened()
    assert (source.decoder, source.fallen_back) == ("nvjpeg", "")


def test_a_camera_that_is_away_is_no_failure_of_its_decoder(rig: Rig) -> None:
    rig.software.fails_to = {"open"}
    for _ in range(5):
        with pytest.raises(SourceError, match="software fails to open"):
            rig.reopened()
    assert rig.nvidia.opened == 0
    rig.software.fails_to = set()
    assert rig.reopened().decoder == "nvidia"


@pytest.mark.parametrize("call", ["open", "grab"])
def test_a_camera_that_goes_away_while_hardware_is_tried_neither(rig: Rig, call: str) -> None:
    def go_away(seconds: float) -> None:
        rig.nvidia.fails_to, rig.software.fails_to = {"grab"}, {call}

    source = HardwareFirst(
        rig.software, lambda codec, stream: rig.offers, rig.trial, go_away, rig.clock
    )
    with pytest.raises(SourceError, match=f"software fails to {call}"):
        source.open()
    source.close()
    assert rig.sessions == []
    assert rig.trial.failure == ""


def test_without_hardware_one_session_is_enough(rig: Rig) -> None:
    for why in ("", "there is none"):
        rig.offers = [], why
        source = rig.reopened()
        assert (source.decoder, source.fallen_back) == ("software", why)
        source.grab()
    assert rig.software.opened == 2
    rig.clock.now += 100 * HOUR
    source.grab()  # nothing is to be tried again


def interrupted(rig: Rig, source: HardwareFirst) -> bool:
    try:
        source.grab()
    except ReopenSource:
        return True
    return False


def test_hardware_is_tried_again_three_times_by_interrupting_and_then_with_the_next_opening(
    rig: Rig,
) -> None:
    rig.nvidia.fails_to = {"open"}
    source = rig.opened()
    source.grab()
    for tries, delay_s in enumerate((MINUTE, 10 * MINUTE, HOUR), 1):
        rig.clock.now += delay_s - 1
        assert not interrupted(rig, source)
        source = rig.reopened()  # the camera failed in between
        assert source.decoder == "software"
        assert rig.nvidia.opened == tries, "not with each opening"
        assert source.fallen_back == "nvidia fails to open"
        rig.clock.now += 1
        assert interrupted(rig, source)
        source = rig.reopened()
        source.grab()
        assert rig.nvidia.opened == tries + 1
    rig.clock.now += 10 * HOUR
    assert not interrupted(rig, source)
    rig.nvidia.fails_to = set()
    source = rig.reopened()
    assert (source.decoder, source.fallen_back) == ("nvidia", "")


def ends_after(rig: Rig, lived_s: float) -> HardwareFirst:
    source = rig.reopened()
    source.grab()
    rig.clock.now += lived_s
    rig.nvidia.fails_to = {"grab"}
    if source.decoder == "nvidia":
        with pytest.raises(SourceError):
            source.grab()
    rig.nvidia.fails_to = set()
    return source


def test_hardware_that_ends_at_once_each_time_has_failed(rig: Rig) -> None:
    assert [ends_after(rig, 2.0).decoder for _ in range(4)] == [*["nvidia"] * 3, "software"]
    assert "3 times within 10 s (nvidia fails to grab)" in rig.trial.failure


def test_a_camera_that_is_lost_now_and_then_keeps_its_hardware(rig: Rig) -> None:
    lives: list[Callable[[], HardwareFirst]] = []
    for lived_s in (2.0, 2.0, 11.0) * 3:
        lives.append(lambda lived_s=lived_s: ends_after(rig, lived_s))
    assert {live().decoder for live in lives} == {"nvidia"}
