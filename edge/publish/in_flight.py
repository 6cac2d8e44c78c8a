"""What the MQTT client has been handed and has not finished with."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

_IDS = 65_535  # packet ids are 1 to this, and come round again
_ID_MARGIN = 1000  # so many ids ahead we look for one that is not free


@dataclass(frozen=True, slots=True)
class Message:
    """One message on its way.

    A QoS 0 message is finished when it is in the socket, a QoS 1 message when the broker has
    acknowledged it; ``on_ack`` runs then, in whichever thread finds out, and must not block.
    """

    qos: int
    size: int  # bytes of payload
    handed_at_s: float
    on_ack: Callable[[], None] | None = None


class InFlight:
    """Messages of the current connection by packet id.

    A publishing thread calls ``handed`` once paho has told it the id; paho's thread may have called
    ``finished`` for that id before: either order will do. Paho holds a lock of its own while it
    reports, so the lock here is taken last and nothing is called under it.

    Both return the seconds from publish to acknowledgement when they complete a QoS 1 message.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._messages: dict[int, Message] = {}
        self._finished_first: dict[int, float] = {}  # id: when; not yet handed
        self.unsent_bytes = 0  # QoS 0, waiting in paho for the socket
        self.unacknowledged = 0  # QoS 1

    def handed(self, mid: int, message: Message) -> float | None:
        """Paho has taken ``message`` under packet id ``mid``."""
        with self._changed:
            at_s = self._finished_first.pop(mid, None)
            if at_s is None:
                self._pop(mid)  # ids wrap: one still open after 65,535 others is given up
                self._messages[mid] = message
                if message.qos:
                    self.unacknowledged += 1
                else:
                    self.unsent_bytes += message.size
                return None
        return _acknowledge(message, at_s)

    def finished(self, mid: int, at_s: float) -> float | None:
        """Paho is done with ``mid``."""
        with self._changed:
            message = self._pop(mid)
            if message is None:
                self._finished_first[mid] = at_s
                return None
        return _acknowledge(message, at_s)

    def overdue(self, mid: int) -> bool:
        """True where the ids have come round to one that waits for its acknowledgement.

        What takes that id next would be confused with it: the broker acknowledges the one, and we
        would believe it of the other. ``mid`` is the last id given out.
        """
        soon = (mid + _ID_MARGIN - 1) % _IDS + 1
        with self._changed:
            message = self._messages.get(soon)
            return message is not None and message.qos > 0

    def reset(self) -> None:
        """The connection is gone, and with it every packet id."""
        with self._changed:
            self._messages.clear()
            self._finished_first.clear()
            self.unsent_bytes = self.unacknowledged = 0
            self._changed.notify_all()

    def wait_acknowledged(self, timeout_s: float) -> bool:
        """Wait until no QoS 1 message is open (or the connection is gone); False on timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.unacknowledged, timeout_s)

    def _pop(self, mid: int) -> Message | None:
        message = self._messages.pop(mid, None)
        if message is not None and message.qos:
            self.unacknowledged -= 1
            self._changed.notify_all()
        elif message is not None:
            self.unsent_bytes -= message.size
        return message


def _acknowledge(message: Message, at_s: float) -> float | None:
    if not message.qos:
        return None
    if message.on_ack:
        message.on_ack()
    return max(0.0, at_s - message.handed_at_s)
