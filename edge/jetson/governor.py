"""Lowers the inference rate while the board throttles or is about to, and raises it again.

Fast down, slow up: a step down takes a quarter of the rate, a step up adds a tenth, and between the
temperatures at which they happen lies more than a step up heats. A step up that turns out to be too
much is taken back, and waited longer for the next time. Why each number: docs/jetson.md.
"""

import logging
import math
from collections import deque
from collections.abc import Callable
from typing import Protocol

from edge.jetson.strain import Strain

PERIOD_S = 1.0
RATE_WINDOW_S = 10.0  # a step starts from the mean rate over so long
STEP_DOWN, STEP_UP, STEP_UP_FAR = 0.75, 1.1, 1.5
LOWEST_PER_S = 1.0  # over all cameras
LOWEST_SHARE_BY_CURRENT = 0.5  # of the full rate: no rate cures a weak power supply
SETTLE_S = 15.0  # after a step down: it has to show
FALLING_C = 0.5  # cooler than at the last look: it shows
CLEAR_C, FAR_C = 10.0, 20.0  # this far below the trip point the board is cool, and very cool
RECOVER_S, MOST_RECOVER_S = 30.0, 960.0  # cool for so long before a step up
PROBE_S = 1800.0  # strain so soon after a step up comes from that step
BINDS = 0.9  # a cap of which less is used holds nobody back

log = logging.getLogger(__name__)


class Paced(Protocol):
    """What the governor needs of the inference loop's pace."""

    @property
    def taken(self) -> int:
        """Frames so far."""
        ...

    @property
    def cap_per_s(self) -> float | None: ...

    def limit(self, frames_per_s: float | None) -> None: ...


class Governor:
    """Owned by the main thread; ``degraded`` may be read by any.

    ``look(now_s)`` tells how the board is (`BoardWatch.look`). ``degraded`` is "" while no cap is
    in force, else one sentence: why, and how many frames a second there are.
    """

    def __init__(self, pace: Paced, look: Callable[[float], Strain]) -> None:
        self._pace, self._look = pace, look
        self.degraded = ""
        self._due_s = -math.inf
        self._taken: deque[tuple[float, int]] = deque()
        self._full_per_s = math.inf  # what was inferred before the first step down
        self._shows_s = self._shows_c = -math.inf  # when a step down has to show, and how
        self._raised: tuple[float, float] | None = None  # when, and from which cap
        self._cool_since_s: float | None = None
        self._recover_s = RECOVER_S
        self._may_leap = True  # up, where the board is very cool

    def turn(self, now_s: float) -> None:
        """As often as one likes: it acts once in ``PERIOD_S``. ``now_s`` is ``Clock.uptime_s``."""
        if now_s < self._due_s:
            return
        self._due_s = now_s + PERIOD_S
        rate_per_s = self._measure(now_s)
        strain = self._look(now_s)
        cap_per_s = self._pace.cap_per_s
        cool = strain.headroom_c is None or strain.headroom_c >= CLEAR_C
        if strain.reason or not cool or cap_per_s is None:
            self._cool_since_s = None
        if not strain.reason:
            self._shows_c = -math.inf
        if strain.reason and self._last_step_has_shown(strain, now_s):
            self._lower(strain, cap_per_s or math.inf, rate_per_s, now_s)
        elif not strain.reason and cool and cap_per_s is not None:
            self._recover(strain, cap_per_s, rate_per_s, now_s)

    def _measure(self, now_s: float) -> float:
        """Frames a second, lately."""
        taken = self._pace.taken
        self._taken.append((now_s, taken))
        while len(self._taken) > 2 and self._taken[1][0] <= now_s - RATE_WINDOW_S:
            self._taken.popleft()
        since_s, before = self._taken[0]
        return (taken - before) / (now_s - since_s) if now_s > since_s else 0.0

    def _last_step_has_shown(self, strain: Strain, now_s: float) -> bool:
        """Whether the last step down had its time and does not suffice."""
        if now_s < self._shows_s:
            return False
        if strain.celsius is None or strain.throttles or strain.celsius > self._shows_c:
            return True
        self._expect_to_show(strain, now_s)  # it is near its trip point, but still cooling
        return False

    def _expect_to_show(self, strain: Strain, now_s: float) -> None:
        self._shows_s = now_s + SETTLE_S
        self._shows_c = -math.inf if strain.celsius is None else strain.celsius - FALLING_C

    def _lower(self, strain: Strain, cap_per_s: float, rate_per_s: float, now_s: float) -> None:
        lower_per_s = self._step_back(cap_per_s, rate_per_s, now_s)
        if lower_per_s is None:
            lower_per_s = self._step_down(strain, cap_per_s, rate_per_s)
        if lower_per_s is None:
            return
        self._expect_to_show(strain, now_s)
        self._pace.limit(lower_per_s)
        self.degraded = f"{strain.reason}: inference lowered to {lower_per_s:.1f} frames/s"
        log.warning("%s", self.degraded)

    def _step_back(self, cap_per_s: float, rate_per_s: float, now_s: float) -> float | None:
        """The cap from before the last step up, where that step was too much."""
        raised, self._raised = self._raised, None
        if raised is None or now_s > raised[0] + PROBE_S:
            if cap_per_s == math.inf:  # nothing is known of this heat yet
                self._recover_s, self._may_leap = RECOVER_S, True
            return None
        before_per_s = raised[1]
        self._recover_s = min(self._recover_s * 2, MOST_RECOVER_S)
        self._may_leap &= cap_per_s < before_per_s * STEP_UP_FAR
        # A cap that was lifted because it held nobody back would not now.
        held = cap_per_s < math.inf or before_per_s < rate_per_s
        return before_per_s if held else None

    def _step_down(self, strain: Strain, cap_per_s: float, rate_per_s: float) -> float | None:
        """A quarter less than now; None where nothing is left to lower."""
        if cap_per_s == math.inf:
            self._full_per_s = rate_per_s
        current_per_s = min(cap_per_s, rate_per_s)
        lowest_per_s = LOWEST_PER_S
        if strain.by_current_alone:
            lowest_per_s = max(lowest_per_s, self._full_per_s * LOWEST_SHARE_BY_CURRENT)
        lower_per_s = max(current_per_s * STEP_DOWN, lowest_per_s)
        return lower_per_s if lower_per_s < current_per_s else None

    def _recover(self, strain: Strain, cap_per_s: float, rate_per_s: float, now_s: float) -> None:
        if self._cool_since_s is None:
            self._cool_since_s = now_s
        leaps = self._may_leap and strain.headroom_c is not None and strain.headroom_c >= FAR_C
        if now_s < self._cool_since_s + (RECOVER_S if leaps else self._recover_s):
            return
        if self._raised is not None:  # the step up before this one was not too much
            self._recover_s = max(self._recover_s / 2, RECOVER_S)
        self._raised, self._cool_since_s = (now_s, cap_per_s), now_s
        why = strain.hottest or "no throttling any more"
        if rate_per_s < cap_per_s * BINDS - 1 / RATE_WINDOW_S:
            self._pace.limit(None)
            self.degraded = ""
            log.info("%s: inference at its full rate again", why)
            return
        higher_per_s = cap_per_s * (STEP_UP_FAR if leaps else STEP_UP)
        self._pace.limit(higher_per_s)
        self.degraded = f"{why}: inference raised to {higher_per_s:.1f} frames/s"
        log.info("%s", self.degraded)
