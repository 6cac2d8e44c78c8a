"""The frame message: JSON of schema ``rfdetr-edge.frame/1``, within a budget of bytes."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from edge.events.fields import (
    cut,
    encode,
    frame_fields,
    latency_fields,
    object_fields,
    text,
    time_fields,
)
from edge.events.summary import ObjectSummary
from edge.frame import Frame

FRAME_SCHEMA = "rfdetr-edge.frame/1"
SMALLEST_BUDGET = 512  # bytes: what a message without objects and counts always fits in


class FrameMessageBuilder:
    """Builds the messages of one process; ``seq`` counts from 1 per camera. Owned by one thread.

    ``session`` is 8 hex digits; ``seq`` is that of the builder before, where another model follows
    within the session. Raises ``ValueError`` for a budget below 512 bytes.
    """

    def __init__(
        self,
        node: str,
        session: str,
        model: str,
        max_payload_bytes: int,
        seq: Counter[str] | None = None,
    ) -> None:
        if max_payload_bytes < SMALLEST_BUDGET:
            raise ValueError(f"max_payload_bytes must be at least {SMALLEST_BUDGET}")
        self._node, self._session, self._model = text(node), session, text(model)
        self._max_payload_bytes = max_payload_bytes
        self.seq: Counter[str] = Counter() if seq is None else seq

    def build(
        self,
        frame: Frame,
        objects: Sequence[ObjectSummary],
        infer_started_uptime_s: float,
        infer_ms: float,
        now_uptime_s: float,
        geometry: Sequence[Mapping[str, object]] = (),
    ) -> bytes:
        """One message: compact UTF-8 JSON of at most ``max_payload_bytes``.

        ``objects`` are in the order of the message; ``geometry`` has the further keys of each of
        them, or nothing at all. What does not fit is left out from the end: first of the geometry,
        then of the objects (``truncated`` tells how many) and, where no object fits, the rarest of
        the counts (``counts_truncated`` tells how many labels).
        """
        self.seq[frame.camera] += 1
        header: dict[str, object] = {
            "schema": FRAME_SCHEMA,
            "session": self._session,
            "seq": self.seq[frame.camera],
            "node": self._node,
            "camera": text(frame.camera),
            "model": self._model,
            "time": time_fields(frame),
            "latency_ms": latency_fields(frame, infer_started_uptime_s, infer_ms, now_uptime_s),
            "frame": frame_fields(frame),
        }
        message = self._within_budget(header, objects, geometry, frame.size)
        if len(message) > self._max_payload_bytes:
            for name in ("node", "camera", "model"):
                header[name] = cut(str(header[name]))
            message = self._within_budget(header, objects, geometry, frame.size)
        return message

    def _within_budget(
        self,
        header: dict[str, object],
        objects: Sequence[ObjectSummary],
        geometry: Sequence[Mapping[str, object]],
        size: tuple[int, int],
    ) -> bytes:
        """The message with all that the header leaves room for: counts, objects, then geometry."""
        labels = Counter(text(seen.label) for seen in objects).most_common()
        entries = [b"%b:%d" % (encode(label), number) for label, number in labels]
        counts = b",".join(entries)
        head = encode(header)[:-1] + b',"counts":{'
        middle, tail = b'},"objects":[', b'],"truncated":'
        room = self._max_payload_bytes - len(head + middle + tail + b"}")

        if len(counts) + len(str(len(objects))) > room:
            told = b'},"counts_truncated":'
            room -= len(told) - len(b"}") + len(str(len(objects)))
            kept = _longest_start(entries, len(entries), room)
            counts = b",".join(kept)
            middle = b'%b%d,"objects":[' % (told, len(entries) - len(kept))
            return b"%b%b%b%b%d}" % (head, counts, middle, tail, len(objects))

        pieces = (encode(object_fields(seen, size)) for seen in objects)
        kept = _longest_start(pieces, len(objects), room - len(counts))
        truncated = len(objects) - len(kept)
        if not truncated:
            room -= len(counts) + len(b",".join(kept)) + len(b"0")
            for i, keys in enumerate(geometry):
                more = b",%b}" % encode(dict(keys))[1:-1]
                room -= len(more) - len(b"}")
                if room < 0:
                    break
                kept[i] = kept[i][:-1] + more
        body = b",".join(kept)
        return b"%b%b%b%b%b%d}" % (head, counts, middle, body, tail, truncated)


def _longest_start(pieces: Iterable[bytes], count: int, room: int) -> list[bytes]:
    """The first of ``count`` pieces, as many as fit in ``room`` bytes.

    Commas between them count, and so do the digits of the number of pieces left out. No piece is
    made past the first that does not fit.
    """
    kept: list[bytes] = []
    used = 0
    for piece in pieces:
        used += len(piece) + (1 if kept else 0)
        if used + len(str(count - len(kept) - 1)) > room:
            break
        kept.append(piece)
    return kept
