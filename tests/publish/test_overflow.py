"""What goes where there is no room for everything."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from edge.publish.overflow import choose_drops, note_dropped


@dataclass(frozen=True)
class Event:
    type: str
    event_id: str
    size: int = 10


def names(rows):
    return [f"{row.type} {row.event_id}" for row in rows]


def rows(*texts):
    return [Event(*text.split()) for text in texts]


def test_oldest_updates_go_first_and_no_more_than_needed():
    kept = rows("new a", "update a", "update b", "update a", "end a")
    assert names(choose_drops(kept, 11)) == ["update a", "update b"]
    assert choose_drops(kept, 0) == []


def test_whole_objects_go_before_the_beginning_of_one_that_lasts():
    kept = rows("new a", "new b", "end b", "end z")
    assert names(choose_drops(kept, 1)) == ["new b", "end b"]
    assert names(choose_drops(kept, 21)) == ["new b", "end b", "new a"]


def test_an_end_whose_beginning_has_left_goes_last_of_all():
    kept = rows("end z", "new a", "update a", "new b", "end b")
    assert names(choose_drops(kept, 41)) == ["update a", "new b", "end b", "new a", "end z"]


def test_an_end_that_nobody_waits_for_goes_before_one_that_somebody_does():
    unheard: set[str] = set()
    note_dropped(choose_drops(rows("end z", "new a"), 1), unheard)
    assert unheard == {"a"}
    kept = rows("end z", "end a", "new b", "end b")
    assert names(choose_drops(kept, 1, unheard)) == ["end a"]
    note_dropped(choose_drops(kept, 41, unheard), unheard)
    assert unheard == set()


@st.composite
def backlogs(draw):
    """Events as objects produce them, with what has left already missing."""
    stories = draw(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=12))
    lives = []
    for number, (updates, ended) in enumerate(stories):
        life = ["new", *["update"] * updates, *(["end"] if ended else [])]
        left = draw(st.integers(0, len(life)))
        lives.append([Event(type, str(number), draw(st.integers(1, 50))) for type in life[left:]])
    order = draw(st.permutations([i for i, life in enumerate(lives) for _ in life]))
    remaining = [iter(life) for life in lives]
    return [next(remaining[i]) for i in order]


@given(backlogs(), st.integers(-10, 2000))
def test_the_rules_hold_for_any_backlog(kept, excess):
    dropped = choose_drops(kept, excess)
    gone = {id(row) for row in dropped}
    left = [row for row in kept if id(row) not in gone]
    assert len(gone) == len(dropped)
    assert sum(row.size for row in dropped) >= excess or not left
    of = {kind: [row for row in kept if row.type == kind] for kind in ("new", "update", "end")}

    # Updates: the oldest, and all of them before anything else.
    gone_updates = [row for row in dropped if row.type == "update"]
    assert gone_updates == of["update"][: len(gone_updates)]
    if any(row.type != "update" for row in dropped):
        assert not any(row.type == "update" for row in left)

    begun, ended = ({row.event_id for row in of[kind]} for kind in ("new", "end"))
    whole = begun & ended
    # No end goes while its beginning stays, and no beginning of a whole object without its end.
    for row in left:
        if row.event_id in whole:
            assert not any(
                other.event_id == row.event_id for other in dropped if other.type != "update"
            )
    # Beginnings without an end go when no whole object is left, lone ends when no beginning is.
    if any(row.type == "new" and row.event_id not in ended for row in dropped):
        assert not any(row.event_id in whole for row in left)
    if any(row.type == "end" and row.event_id not in begun for row in dropped):
        assert not any(row.type == "new" for row in left)
    # Nothing goes that need not: without the last object the room would not do.
    if dropped:
        last = dropped[-1].event_id if dropped[-1].type != "update" else None
        without = [
            row for row in dropped if last is None or row.event_id != last or row.type == "update"
        ]
        without = without[:-1] if last is None else without
        assert sum(row.size for row in without) < excess
