"""What is handed to the spool, and what it keeps of that."""

from collections.abc import Sequence
from dataclasses import dataclass

from edge.line_total import LineTotal

_ROW_OVERHEAD = 256  # bytes a row takes beside its body: columns, index, what a page cannot fill


@dataclass(frozen=True, slots=True)
class SpoolEvent:
    """One event, complete but for its ``seq``.

    ``head``, the digits of ``seq`` and ``tail`` make a JSON object in UTF-8. ``type`` is ``new``,
    ``update`` or ``end``; ``line_totals`` are those that this event has changed, as they are now.
    """

    camera: str
    type: str
    event_id: str
    head: bytes
    tail: bytes
    line_totals: Sequence[LineTotal] = ()


@dataclass(frozen=True, slots=True)
class OpenObject:
    """An object whose ``end`` is not written; ``body`` is its last ``new`` or ``update``."""

    event_id: str
    camera: str
    session: str
    body: bytes


@dataclass(slots=True, eq=False)
class Row:
    """One event on its way. Owned by the spool thread but for ``dropped`` and ``claimed``."""

    camera: str
    session: str
    seq: int
    type: str
    event_id: str
    body: bytes  # without "replayed"
    uptime_s: float  # when it was appended, on this boot's clock; below 0 before this boot
    id: int | None = None  # its place on disk; None where it is in memory only
    replayed: bool = False
    queued: bool = False  # waits to be sent on this connection, or has been
    claimed: bool = False  # from memory, by the one who sends it: it cannot be dropped any more
    dropped: bool = False

    @property
    def size(self) -> int:
        """Bytes as the bounds count them."""
        return row_size(len(self.body))

    def payload(self) -> bytes:
        return self.body[:-1] + b',"replayed":true}' if self.replayed else self.body


def row_size(body_bytes: int) -> int:
    return body_bytes + _ROW_OVERHEAD
