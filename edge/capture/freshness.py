"""Tells a live picture from one that waited in a queue on the way."""


class Freshness:
    """Compares when a stream's pictures arrive with when their timestamps say they were taken.

    A server may send what it kept from before we came, and a network that was blocked delivers all
    at once: such pictures are old, however new they are to us. The smallest distance between
    arrival and timestamp is the live edge; what arrives ``limit_s`` behind it is stale.

    The camera's clock is trusted for short times only. While pictures have to be waited for and do
    not catch up, nothing is queued that we could know of, and the edge follows them: a clock that
    drifts, runs at a wrong rate or is set cannot make its camera stale for ever.
    """

    _WAITED_S = 0.002  # a read that returns sooner found its packet ready
    _CATCHING_UP_S = 0.01  # a step closer than any jitter while nothing is queued
    _FOLLOW = 0.1  # of the distance, with each picture
    _CLOCK_WAS_SET_S = 10.0  # no queue is that long: a read would have timed out

    def __init__(self, limit_s: float = 0.25) -> None:
        self._limit_s = limit_s
        self._edge_s: float | None = None
        self._last_distance_s = 0.0
        self._live = False

    def behind_s(self, timestamp_s: float, arrived_s: float, waited_s: float) -> float:
        """How far behind the live edge a packet arrives that was waited for so long."""
        distance = arrived_s - timestamp_s
        waited = waited_s > self._WAITED_S
        catching_up = distance < self._last_distance_s - self._CATCHING_UP_S
        self._last_distance_s = distance
        # Until one packet had to be waited for, all that came may be from before our time.
        self._live = self._live or waited
        edge = distance if self._edge_s is None else min(self._edge_s, distance)
        behind = distance - edge
        if behind > self._CLOCK_WAS_SET_S:
            edge, behind = distance, 0.0
        self._edge_s = edge + self._FOLLOW * behind if waited and not catching_up else edge
        return behind

    def is_fresh(self, behind_s: float) -> bool:
        return self._live and behind_s <= self._limit_s
