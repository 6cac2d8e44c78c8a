"""Which zones an object is in: by the share of its mask, and by how long it has been so."""

from collections.abc import Sequence

import numpy as np

from edge.bilinear import Indices
from edge.config import ZoneSettings
from edge.crossings import Doubles
from edge.mask_runs import MaskRuns


class Zones:
    """The zones of one camera. Owned by one thread."""

    def __init__(self, settings: Sequence[ZoneSettings]) -> None:
        self._settings = tuple(settings)
        self._size: tuple[int, int] | None = None
        self._polygons: list[tuple[Indices, Indices]] = []

    def shares(self, masks: MaskRuns) -> Doubles:
        """The share of each of K masks that lies in each of Z zones: float64 ``[K, Z]``.

        Exact: pixels of the mask whose centres are inside the polygon (even-odd) over pixels of the
        mask. Of an empty mask nothing is inside.
        """
        if masks.size != self._size:  # the first frame, or a camera that changed its resolution
            self._polygons = [polygon_runs(zone.polygon, masks.size) for zone in self._settings]
            self._size = masks.size
        inside = np.zeros((len(self._settings), masks.count))
        for zone, (starts, stops) in enumerate(self._polygons):
            for start, stop in zip(starts, stops, strict=True):  # one for a convex polygon
                common = np.minimum(masks.stop, stop[masks.row])
                common -= np.maximum(masks.start, start[masks.row])
                inside[zone] += np.bincount(masks.index, np.maximum(common, 0), masks.count)
        area = np.bincount(masks.index, masks.stop - masks.start, masks.count)
        shares: Doubles = inside.T / np.maximum(area, 1)[:, None]
        return shares

    def presence(self) -> "ZonePresence":
        """Where one object is, which has not been seen yet."""
        return ZonePresence(self._settings)


class ZonePresence:
    """The zones that one object is in, from sighting to sighting.

    An object overlaps a zone from the sighting on at which its share reaches ``min_overlap``, until
    one at which it is below ``min_overlap - hysteresis``, or 0. Once that has lasted for
    ``dwell_s``, the object is in the zone. Only sightings count: an object that is missed for a
    while, or hidden, neither leaves nor begins anew.

    ``zones`` are the ids of those that it is in, in the order of the configuration.
    """

    def __init__(self, settings: Sequence[ZoneSettings]) -> None:
        self.zones: tuple[str, ...] = ()
        self._stays = [_Stay(zone) for zone in settings]
        self._seen_s: float | None = None

    def update(self, shares: Doubles, at_s: float) -> bool:
        """The next sighting: ``shares`` float64 ``[Z]``. True where ``zones`` is another now.

        ``at_s`` is an uptime; where it is not after the last one, no time has passed.
        """
        passed_s = self._passed_s(at_s)
        self._seen_s = at_s
        for stay, share in zip(self._stays, shares.tolist(), strict=True):
            stay.update(share, passed_s)
        before = self.zones
        self.zones = tuple(stay.zone.id for stay in self._stays if stay.inside)
        return self.zones != before

    def dwell_s(self, at_s: float) -> dict[str, float]:
        """The seconds spent in each zone that the object has ever been in, up to ``at_s``.

        A stay goes from the sighting at which the overlap began (the wait for the settings'
        ``dwell_s`` is part of it) to the one that ended it, or to ``at_s`` while it lasts. An
        overlap that ended before it counted is no stay.
        """
        passed_s = self._passed_s(at_s)
        spent = ((stay.zone.id, stay.spent_s(passed_s)) for stay in self._stays)
        return {zone: seconds for zone, seconds in spent if seconds is not None}

    def _passed_s(self, at_s: float) -> float:
        return 0.0 if self._seen_s is None else max(0.0, at_s - self._seen_s)


class _Stay:
    """One object and one zone. Times are summed up from step to step: a clock may jump back."""

    def __init__(self, zone: ZoneSettings) -> None:
        self.zone = zone
        self._leaves_below = zone.min_overlap - zone.hysteresis
        self._held_s: float | None = None  # since the overlap began; None: there is none
        self._earlier_s: float | None = None  # of all stays that are over; None: there was none

    @property
    def inside(self) -> bool:
        return self._held_s is not None and self._held_s >= self.zone.dwell_s

    def update(self, share: float, passed_s: float) -> None:
        if self._held_s is None:
            if share > 0 and share >= self.zone.min_overlap:
                self._held_s = 0.0
        elif share > 0 and share >= self._leaves_below:
            self._held_s += passed_s
        else:
            self._earlier_s = self.spent_s(passed_s)
            self._held_s = None

    def spent_s(self, passed_s: float) -> float | None:
        """The time of all stays, so long after the last sighting; None where there was none."""
        if self._held_s is None or not self.inside:
            return self._earlier_s
        return (self._earlier_s or 0.0) + self._held_s + passed_s


def polygon_runs(
    polygon: Sequence[tuple[float, float]], size: tuple[int, int]
) -> tuple[Indices, Indices]:
    """The pixels of a frame whose centres are inside a polygon, as runs of each row.

    ``polygon`` is in fractions of the frame, ``size`` its (height, width). Inside is what an odd
    number of its sides goes around. Returns the first columns and those past the last, intp
    ``[J, height]`` each, where the rows have up to J runs; further ones are empty. Polygons that
    share a side share no pixel along it and miss none.
    """
    height, width = size
    points = np.array(polygon, dtype=np.float64) * (width, height)
    sides = np.stack([points, np.roll(points, -1, axis=0)], axis=1)  # [V, 2, 2]
    first_row = np.ceil(sides[..., 1] - 0.5)
    sides = sides[first_row[:, 0] != first_row[:, 1]]  # the others meet no row of centres
    # Each from above to below: two polygons reckon the side that they share alike.
    upwards = sides[:, 0, 1] > sides[:, 1, 1]
    sides[upwards] = sides[upwards, ::-1]
    (x, y), (to_x, to_y) = sides.transpose(1, 2, 0)[..., None]  # [V, 1] each
    row = np.arange(height) + 0.5
    column = np.ceil(x + (row - y) * ((to_x - x) / (to_y - y)) - 0.5)
    # Sides that do not meet a row come last, as runs of nothing at the frame's own side.
    column[(row < y) | (row >= to_y)] = width
    ends = np.sort(column, axis=0).astype(np.intp)
    starts, stops = ends[:-1:2], ends[1::2]
    some = (starts < stops).any(axis=1)
    return starts[some], stops[some]
