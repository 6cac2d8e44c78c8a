"""Tells a live picture from one that waited in a queue on the way."""


class Freshness:
    """Compares when a stream's pictures arrive with when their timestamps say they were taken.

    A server may send what it kept from before we came, and a network that was blocked delivers all
    at once: such pictures are old, however new they are to us. The smallest distance between
    arrival and timestamp is the live edge; what arrives ``limit_s`` behind it is stale.

    The camera's clock is trusted for short times only. Where two pictures in a row were waited for
    and do not catch up, nothing is queued that we could know of, and the edge moves to them: a
    clock that drifts, is set, or runs slow because its camera is overloaded must not make that
    camera stale for ever.
    """

    _WAITED_S = 0.002  # a read that returns sooner found its packet ready
    _CATCHING_UP_S = 0.01  # a step closer than this is more than jitter while behind
    _FOLLOW = 0.1  # of the distance, with each picture

    def __init__(self, limit_s: float = 0.25) -> None:
        self._limit_s = limit_s
        self._edge_s: float | None = None
        self._last_distance_s = 0.0
        self._was_behind = False
        self._live = False

    def behind_s(self, timestamp_s: float, arrived_s: float, waited_s: float) -> float:
        """How far behind the live edge a packet arrives that was waited for so long."""
        distance = arrived_s - timestamp_s
        edge = distance if self._edge_s is None else min(self._edge_s, distance)
        behind = distance - edge
        waited = waited_s > self._WAITED_S
        # Until one packet had to be waited for, all that came may be from before our time.
        self._live = self._live or waited
        if waited and distance > self._last_distance_s - self._CATCHING_UP_S:
            if self._was_behind:
                edge, behind = distance, 0.0
            edge += self._FOLLOW * behind
        self._edge_s = edge
        self._last_distance_s = distance
        self._was_behind = behind > self._limit_s
        return behind

    def is_fresh(self, behind_s: float) -> bool:
        return self._live and behind_s <= self._limit_s
