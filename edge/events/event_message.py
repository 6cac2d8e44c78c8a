"""The event message: JSON of schema ``rfdetr-edge.event/1``, within a budget of bytes."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from edge.clock import Timestamp
from edge.events.fields import cut, encode, frame_fields, object_fields, text, time_fields
from edge.events.lifecycle import Event

EVENT_SCHEMA = "rfdetr-edge.event/1"
SMALLEST_BUDGET = 1024  # bytes: what an event always fits in

# What is added after the message was built: a ``seq`` of up to 16 digits, and that it is a replay.
_ADDED_LATER = 16 + len(',"replayed":true')


class EventBody(NamedTuple):
    """A message around its ``seq``, which it gets when it is committed: head, seq, tail."""

    head: bytes
    tail: bytes


class EventMessageBuilder:
    """Builds the event messages of one process. Owned by one thread.

    ``session`` is 8 hex digits. Raises ``ValueError`` for a budget below 1024 bytes.
    """

    def __init__(self, node: str, session: str, model: str, max_payload_bytes: int) -> None:
        if max_payload_bytes < SMALLEST_BUDGET:
            raise ValueError(f"max_payload_bytes must be at least {SMALLEST_BUDGET}")
        self._node, self._session, self._model = text(node), session, text(model)
        self._budget = max_payload_bytes - _ADDED_LATER

    def build(
        self,
        event: Event,
        latency: Mapping[str, float] | None = None,
        geometry: Mapping[str, object] | None = None,
    ) -> EventBody:
        """One message of at most ``max_payload_bytes`` when it leaves.

        ``latency`` is that of the frame, where the event was decided on a frame; ``geometry`` has
        further keys of the object. What does not fit goes: first the geometry, then the times in
        zones, then all but the start of names, at last zones and then crossings from the end
        (``zones_truncated`` and ``crossed_truncated`` tell how many).
        """
        message: dict[str, Any] = {
            "node": self._node,
            "camera": text(event.frame.camera),
            "model": self._model,
            "time": time_fields(event.frame),
        }
        if event.decided_at is not None:
            message["time"]["event"] = event.decided_at.rfc3339()
        if latency is not None:
            message["latency_ms"] = dict(latency)
        message |= {
            "frame": frame_fields(event.frame),
            "type": event.type,
            "event_id": event.event_id,
            "object": {
                **object_fields(event.seen, event.frame.size),
                "first_seen": event.first_seen.rfc3339(),
                "age_s": round(event.age_s, 3),
                "frames": event.frames,
                "score_max": round(event.score_max, 3),
            },
        }
        if event.dwell_s:
            message["object"]["dwell_s"] = {z: round(s, 1) for z, s in event.dwell_s.items()}
        if event.crossings:
            message["crossed"] = [
                {"line": crossing.line, "direction": crossing.direction}
                for crossing in event.crossings
            ]
        if event.end_reason is not None:
            message["end_reason"] = event.end_reason
        return self._within_budget(message, geometry or {})

    def close_left_open(self, body: bytes, decided_at: Timestamp) -> EventBody:
        """The ``end`` of an event that an earlier session has left open.

        ``body`` is its last message as committed. Raises ``ValueError`` where that is not the
        event message that it should be.
        """
        try:
            message = json.loads(body)
            opened_session = message.get("opened_session", message["session"])
            message["time"]["event"] = decided_at.rfc3339()
            geometry = {
                key: message["object"].pop(key)
                for key in ("polygon", "rle")
                if key in message["object"]
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not an event message: {error}") from None
        for key in (
            "schema",
            "session",
            "seq",
            "replayed",
            "latency_ms",
            "crossed",
            "crossed_truncated",
        ):
            message.pop(key, None)
        message |= {
            "node": self._node,
            "type": "end",
            "end_reason": "restart",
            "opened_session": opened_session,
        }
        return self._within_budget(message, geometry)

    def _within_budget(self, message: dict[str, Any], geometry: Mapping[str, object]) -> EventBody:
        seen = message["object"]
        body = self._body({**message, "object": {**seen, **geometry}})
        if not self._fits(body) and geometry:
            body = self._body(message)
        if not self._fits(body):
            seen.pop("dwell_s", None)
            body = self._body(message)
        if not self._fits(body):
            for place, name in ((message, "node"), (message, "model"), (seen, "label")):
                place[name] = cut(str(place[name]))
            body = self._body(message)
        # At the very least lists are cut, from their ends, and it is told by how much.
        for holder, name in ((seen, "zones"), (message, "crossed")):
            entries = list(holder.get(name, ()))
            for kept in range(len(entries) - 1, -1, -1):
                if self._fits(body):
                    break
                holder[name] = entries[:kept]
                message[f"{name}_truncated"] = len(entries) - kept
                body = self._body(message)
        return body

    def _body(self, message: Mapping[str, object]) -> EventBody:
        head = {"schema": EVENT_SCHEMA, "session": self._session, "seq": 0}
        return EventBody(encode(head)[: -len("0}")], b"," + encode(message)[1:])

    def _fits(self, body: EventBody) -> bool:
        return len(body.head) + len(body.tail) <= self._budget
