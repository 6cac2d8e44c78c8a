"""Lines that objects cross: in or out, counted once the object is clearly on the other side."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import hypot
from typing import Literal

from edge.config import LineSettings
from edge.line_total import LineTotal

# Of the frame's shorter side: so far from the line an object must be to be on one side of it.
MARGIN = 0.01

Direction = Literal["in", "out"]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Crossing:
    """An object crossed the line with this id.

    Going along the line from its ``from`` to its ``to``, ``in`` is from the right hand to the left.
    """

    line: str
    direction: Direction


class Lines:
    """The lines of one camera."""

    def __init__(self, settings: Sequence[LineSettings]) -> None:
        self._settings = tuple(settings)

    def crossings(self) -> "LineCrossings":
        """The crossings of one object, which has not been seen yet."""
        return LineCrossings(self._settings)


class LineCrossings:
    """The crossings of one object, whose way is straight from sighting to sighting.

    An object has crossed when it was clearly on one side, is clearly on the other, and its way
    between the two went through the line itself: not around its ends. Clearly: further away than
    a hundredth of the frame's shorter side. So trembling on the line counts nothing, and between
    two crossings in the same direction the object was clearly back where it came from.
    """

    def __init__(self, settings: Sequence[LineSettings]) -> None:
        self._ways = [_Way(line) for line in settings]
        self._place: Point | None = None

    def update(self, centroid: Point, size: tuple[int, int]) -> list[Crossing]:
        """The crossings that this sighting completes, in the order of the configuration.

        ``centroid`` is (x, y) in pixels of a frame of ``size`` (height, width), which may be
        another than before.
        """
        height, width = size
        place = centroid[0] / width, centroid[1] / height
        before = place if self._place is None else self._place
        self._place = place
        directions = ((way.line.id, way.step(before, place, size)) for way in self._ways)
        return [Crossing(line, direction) for line, direction in directions if direction]


class _Way:
    """One object and one line."""

    def __init__(self, line: LineSettings) -> None:
        self.line = line
        self._side = 0  # where the object was clearly seen last: 1 is inside, -1 outside
        self._passes = 0  # through the line since then: inwards less outwards

    def step(self, before: Point, place: Point, size: tuple[int, int]) -> Direction | None:
        """A straight step, in fractions of the frame, and the crossing that it completes."""
        old, old_along = self._relative(before, size)
        new, new_along = self._relative(place, size)
        if (old > 0) != (new > 0):
            along = old_along + (new_along - old_along) * (old / (old - new))
            if 0 <= along <= 1:
                self._passes += 1 if new > 0 else -1
        if abs(new) <= MARGIN * min(size):
            return None
        side = 1 if new > 0 else -1
        crossed = self._side == -side and self._passes * side > 0
        self._side, self._passes = side, 0
        if not crossed:
            return None
        return "in" if side > 0 else "out"

    def _relative(self, place: Point, size: tuple[int, int]) -> tuple[float, float]:
        """How many pixels inwards of the line, and at which share of its length."""
        height, width = size
        (x1, y1), (x2, y2) = self.line.from_, self.line.to
        along_x, along_y = (x2 - x1) * width, (y2 - y1) * height
        x, y = (place[0] - x1) * width, (place[1] - y1) * height
        length = hypot(along_x, along_y)
        inwards = (along_y * x - along_x * y) / length
        return inwards, (along_x * x + along_y * y) / length**2


class LineTotals:
    """The totals of one camera's lines. Owned by one thread.

    ``stored`` are those of earlier sessions; what they have of other cameras is passed over.
    Iterating gives all totals with a crossing in them.
    """

    def __init__(self, camera: str, stored: Iterable[LineTotal] = ()) -> None:
        self._camera = camera
        self._totals = {
            (total.line, total.label): total for total in stored if total.camera == camera
        }

    def __iter__(self) -> Iterator[LineTotal]:
        return iter(self._totals.values())

    def get(self, line: str, label: str) -> LineTotal:
        """The total of a line and a label: 0 in and 0 out where nothing has crossed."""
        total = self._totals.get((line, label))
        return LineTotal(self._camera, line, label) if total is None else total

    def add(self, line: str, label: str, direction: Direction) -> LineTotal:
        """Count a crossing; returns the new total."""
        total = self.get(line, label)
        if direction == "in":
            total = replace(total, ins=total.ins + 1)
        else:
            total = replace(total, outs=total.outs + 1)
        self._totals[line, label] = total
        return total
