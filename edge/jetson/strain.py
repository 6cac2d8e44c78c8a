"""Does the board throttle, or is it about to?"""

from collections import deque
from dataclasses import dataclass
from pathlib import Path

from edge.jetson import is_jetson, sysfs

NEAR_C = 5.0  # below the trip point where the kernel throttles: from here on we had better
# An Orin in its fastest modes shows single instantaneous over-currents that cost nothing; those
# that come one after another do.
OVER_CURRENT_EVENTS, OVER_CURRENT_WITHIN_S = 2, 10.0

_OVER_CURRENTS = {
    "oc1": "under-voltage (oc1)",
    "oc2": "average over-current (oc2)",
    "oc3": "instantaneous over-current (oc3)",
}


@dataclass(frozen=True, slots=True)
class Strain:
    """How the board is at one moment.

    ``reason`` is "" where nothing is wrong, else half a sentence. ``throttles``: it is not only
    near. ``by_current_alone``: its supply, not heat. ``hottest`` is the zone nearest to its trip
    point ("GPU at 94.5 °C, throttling at 99"), ``headroom_c`` how far it is from that point,
    ``celsius`` its temperature; "" and None where no zone with such a point can be read.
    """

    reason: str = ""
    throttles: bool = False
    by_current_alone: bool = False
    hottest: str = ""
    celsius: float | None = None
    headroom_c: float | None = None


class BoardWatch:
    """Looks at the board whose files are below ``root``; for one thread.

    A computer that is no Jetson is never under strain, nor is a sensor that cannot be read.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root, self._is_jetson = root, is_jetson(root)
        self._counts: dict[str, int] = {}
        self._rises: deque[tuple[float, str, int]] = deque()

    def look(self, now_s: float) -> Strain:
        """Once a second or so: it reads 100 small files."""
        if not self._is_jetson:
            return Strain()
        hottest, celsius, headroom_c = self._hottest()
        slowing = [
            device.name
            for device in sysfs.cooling_devices(self._root)
            if device.slows and device.state
        ]
        over_current = self._over_current(now_s)
        hot = headroom_c is not None and headroom_c <= NEAR_C
        reasons = []
        if slowing:
            reasons.append(f"throttled by the kernel ({slowing[0]})")
        if over_current:
            reasons.append(f"throttled by {over_current}")
        if hot or (slowing and hottest):
            reasons.append(hottest)
        return Strain(
            ", ".join(reasons),
            bool(slowing or over_current),
            bool(over_current) and not slowing and not hot,
            hottest,
            celsius,
            headroom_c,
        )

    def _hottest(self) -> tuple[str, float | None, float | None]:
        rooms = [
            (trip_c - zone.celsius, zone.celsius, zone.name)
            for zone in sysfs.thermal_zones(self._root)
            if zone.celsius is not None and (trip_c := zone.throttles_at_c) is not None
        ]
        if not rooms:
            return "", None, None
        headroom_c, celsius, name = min(rooms)
        unit = name.removesuffix("-thermal").removesuffix("-therm").upper()
        throttling = f"throttling at {celsius + headroom_c:g}"
        return f"{unit} at {celsius:.1f} °C, {throttling}", celsius, headroom_c

    def _over_current(self, now_s: float) -> str:
        """The cause of over-current events that came just now, or ""."""
        for each in sysfs.over_current(self._root):
            # What was counted before we came, and what the hardware does not act upon, is nothing.
            rise = each.count - self._counts.get(each.event, each.count)
            self._counts[each.event] = each.count
            if rise > 0 and each.throttles:
                self._rises.append((now_s, each.event, rise))
        while self._rises and self._rises[0][0] <= now_s - OVER_CURRENT_WITHIN_S:
            self._rises.popleft()
        if sum(rise for _, _, rise in self._rises) < OVER_CURRENT_EVENTS:
            return ""
        return _OVER_CURRENTS[self._rises[-1][1]]
