"""Which events go where there is no room for all of them."""

from collections.abc import Collection, Iterable
from typing import Protocol, TypeVar


class Droppable(Protocol):
    @property
    def type(self) -> str: ...
    @property
    def event_id(self) -> str: ...
    @property
    def size(self) -> int: ...


D = TypeVar("D", bound=Droppable)


def choose_updates(updates: Iterable[D], excess: int) -> list[D]:
    """As many as have to go, oldest first. ``updates`` is read no further than needed."""
    chosen: list[D] = []
    for row in updates:
        if excess <= 0:
            break
        chosen.append(row)
        excess -= row.size
    return chosen


def choose_objects(rows: Iterable[D], excess: int, unheard: Collection[str] = ()) -> list[D]:
    """As many as have to go of the ``new`` and ``end`` events that are left, oldest first.

    A subscriber that has heard of an object is to hear of its end as long as that is possible:
    first go ends of objects whose beginning was dropped (``unheard``, by event id), which nobody
    waits for; then the objects that begin and end in here, whole; then the beginnings of those that
    still last; and last of all ends whose beginning has left.
    """
    rows = list(rows)
    ends = {row.event_id: row for row in rows if row.type == "end"}
    news = [row for row in rows if row.type == "new"]
    begun = {row.event_id for row in news}
    left = [row for row in rows if row.type != "new" and row.event_id not in begun]
    groups = [[row] for row in left if row.event_id in unheard]
    groups += [[new, ends[new.event_id]] for new in news if new.event_id in ends]
    groups += [[new] for new in news if new.event_id not in ends]
    groups += [[row] for row in left if row.event_id not in unheard]
    chosen: list[D] = []
    for group in groups:
        if excess <= 0:
            break
        chosen += group
        excess -= sum(row.size for row in group)
    return chosen


def note_dropped(rows: Iterable[Droppable], unheard: set[str]) -> None:
    """Keep ``unheard`` as `choose_objects` wants it, now that these are dropped, oldest first."""
    for row in rows:
        if row.type == "new":
            unheard.add(row.event_id)
        elif row.type == "end":
            unheard.discard(row.event_id)


def choose_drops(rows: Iterable[D], excess: int, unheard: Collection[str] = ()) -> list[D]:
    """The rows, given oldest first, that go so that at least ``excess`` bytes do, or all."""
    rows = list(rows)
    chosen = choose_updates((row for row in rows if row.type == "update"), excess)
    excess -= sum(row.size for row in chosen)
    if excess > 0:
        others = (row for row in rows if row.type != "update")
        chosen += choose_objects(others, excess, unheard)
    return chosen
