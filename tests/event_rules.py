"""What the contract promises of a camera's events, checked on what a subscriber has received."""

import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from jsonschema import Draft202012Validator

from edge.events.schema import load

VALIDATOR = Draft202012Validator(load("event-1"))


def received_events(
    payloads: Sequence[bytes],
    *,
    all_ended: bool = True,
    broker_restarted: bool = False,
    repeated: Collection[bytes] = (),
) -> list[dict[str, Any]]:
    """The different events of one camera in the order of their first arrival; checks every rule.

    ``all_ended``: nothing is open at the end, as after a clean stop. ``broker_restarted``: it may
    have repeated what it had delivered before, and not known any more that it had.
    """
    events: list[dict[str, Any]] = []
    known: dict[tuple[str, int], dict[str, Any]] = {}
    last_seq: dict[str, int] = defaultdict(int)
    sessions: list[str] = []
    for payload in payloads:
        event = json.loads(payload)
        VALIDATOR.validate(event)
        content = {key: value for key, value in event.items() if key != "replayed"}
        session, seq = event["session"], event["seq"]
        if (session, seq) in known:
            assert known[session, seq] == content, "a duplicate with another content"
            by_broker = broker_restarted or payload in repeated
            assert event.get("replayed") or by_broker, "a duplicate that does not say so"
            continue
        known[session, seq] = content
        assert seq == last_seq[session] + 1, f"{session}: {last_seq[session]} is followed by {seq}"
        last_seq[session] = seq
        if session not in sessions:
            sessions.append(session)
        assert session == sessions[-1], "an older session's event behind a newer one's"
        events.append(event)
    check_lives(events, all_ended=all_ended)
    return events


def check_lives(events: Sequence[dict[str, Any]], *, all_ended: bool) -> None:
    """One ``new`` for each ``event_id``, then ``update``s, then one ``end``."""
    last: dict[str, dict[str, Any]] = {}
    ended: set[str] = set()
    for event in events:
        event_id = event["event_id"]
        assert event_id not in ended, f"{event_id}: {event['type']} after its end"
        if event["type"] == "new":
            assert event_id not in last, f"{event_id}: a second new"
            assert event_id.startswith(f"{event['session']}-{event['camera']}-")
        else:
            assert event_id in last, f"{event_id}: {event['type']} before its new"
            assert event["object"]["label"] == last[event_id]["object"]["label"]
            assert event["object"]["frames"] >= last[event_id]["object"]["frames"]
        if event["type"] == "end":
            ended.add(event_id)
            opened = event_id.split("-")[0]
            assert (opened != event["session"]) == (event["end_reason"] == "restart")
            assert event.get("opened_session", event["session"]) == opened
        last[event_id] = event
    if all_ended:
        assert ended == set(last), f"never ended: {sorted(set(last) - ended)}"
