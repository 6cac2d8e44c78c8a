"""Which events go where there is no room for all of them."""

from collections.abc import Iterable
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


def choose_objects(rows: Iterable[D], excess: int) -> list[D]:
    """As many as have to go of the ``new`` and ``end`` events that are left, oldest first.

    A subscriber that has heard of an object is to hear of its end as long as that is possible:
    first go the objects that begin and end in here, whole; then the beginnings of those that still
    last; and last of all ends whose beginning has left.
    """
    rows = list(rows)
    ends = {row.event_id: row for row in rows if row.type == "end"}
    news = [row for row in rows if row.type == "new"]
    begun = {row.event_id for row in news}
    groups = [[new, ends[new.event_id]] for new in news if new.event_id in ends]
    groups += [[new] for new in news if new.event_id not in ends]
    groups += [[row] for row in rows if row.type != "new" and row.event_id not in begun]
    chosen: list[D] = []
    for group in groups:
        if excess <= 0:
            break
        chosen += group
        excess -= sum(row.size for row in group)
    return chosen


def choose_drops(rows: Iterable[D], excess: int) -> list[D]:
    """The rows, given oldest first, that go so that at least ``excess`` bytes do, or all."""
    rows = list(rows)
    chosen = choose_updates((row for row in rows if row.type == "update"), excess)
    excess -= sum(row.size for row in chosen)
    if excess > 0:
        chosen += choose_objects((row for row in rows if row.type != "update"), excess)
    return chosen
