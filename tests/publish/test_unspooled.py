"""Events in memory, while other threads append and a write is under way."""

import json

import pytest
from spooling import HandClock, event

from edge.line_total import LineTotal
from edge.publish.unspooled import Unspooled


@pytest.fixture
def dropped():
    return []


@pytest.fixture
def memory(dropped):
    return Unspooled("session", 3000, HandClock(), dropped.append)


def names(rows):
    return [f"{row.type} {row.event_id}" for row in rows]


def test_what_comes_during_a_write_is_there_for_the_next(memory):
    totals = [LineTotal("dock", "line", "cat", n, 0) for n in (1, 2)]
    memory.append(event("new", "a", totals=(totals[0],)))
    memory.append(event("new", "b"))
    first = memory.begin_write()
    memory.append(event("update", "a", totals=(totals[1],)))
    memory.append(event("end", "b"))
    memory.end_write(first)
    second = memory.begin_write()
    assert names(second.rows) == ["update a", "end b"]
    assert second.objects["b"] is None
    assert json.loads(second.objects["a"].body)["seq"] == 3
    assert second.totals == [totals[1]]
    memory.end_write(second)
    third = memory.begin_write()
    assert (third.rows, third.objects, third.totals) == ([], {}, [])
    assert memory.bytes == 0


def test_failed_write_leaves_all_and_is_due_again(memory):
    memory.append(event("update", "a"))
    changes = memory.begin_write()
    memory.end_write(None)
    assert memory.due_s == 1000.0
    again = memory.begin_write()
    assert again.rows == changes.rows
    assert again.objects == changes.objects


def test_what_is_being_written_or_sent_is_not_dropped(memory, dropped):
    for n in range(3):
        memory.append(event("update", f"a{n}"))
    assert memory.claim(memory._rows[0])
    for n in range(20):
        memory.append(event("update", f"b{n}"))
    oldest, *others = names(memory._rows)
    assert oldest == "update a0"
    assert others == [f"update b{n}" for n in range(20 - len(others), 20)]
    memory.begin_write()
    kept = names(memory._rows)
    for n in range(20):
        memory.append(event("update", f"c{n}"))
    assert names(memory._rows)[: len(kept)] == kept
    assert sum(dropped) == 43 - len(memory)


def test_dropped_event_cannot_be_claimed_and_its_object_is_still_known(memory):
    memory.append(event("new", "a"))
    row = memory._rows[0]
    for n in range(20):
        memory.append(event("new", f"b{n}"))
    assert row.dropped
    assert not memory.claim(row)
    assert "a" in memory.begin_write().objects
