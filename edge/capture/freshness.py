"""Tells a live picture from one that waited in a queue on the way."""


class Freshness:
    """Compares when a stream's pictures arrive with when their timestamps say they were taken.

    A server may send what it kept before we came, and a network that was blocked delivers all at
    once: such pictures are late, however new they are to us. The smallest distance between arrival
    and timestamp seen so far is the live edge; what arrives ``limit_s`` behind it is stale.

    The camera's clock is not trusted beyond that. Where ``_SETTLED`` pictures in a row had to be
    waited for, nothing is queued, and the last of them is the live edge: so a clock that drifts,
    runs at a wrong rate or jumps cannot make a camera stale for ever.
    """

    _WAITED_S = 0.002  # a read that returns sooner found its packet ready
    _SETTLED = 10

    def __init__(self, limit_s: float = 0.25) -> None:
        self._limit_s = limit_s
        self._edge_s: float | None = None
        self._live = False
        self._waited_in_a_row = 0

    def behind_s(self, timestamp_s: float, arrived_s: float, waited_s: float) -> float:
        """How far behind the live edge this packet arrived."""
        distance = arrived_s - timestamp_s
        waited = waited_s > self._WAITED_S
        self._waited_in_a_row = self._waited_in_a_row + 1 if waited else 0
        if (
            self._edge_s is None
            or distance < self._edge_s
            or self._waited_in_a_row >= self._SETTLED
        ):
            self._edge_s = distance
        # Until one packet had to be waited for, all that came may be from before our time.
        self._live = self._live or waited
        return distance - self._edge_s

    def is_fresh(self, behind_s: float) -> bool:
        return self._live and behind_s <= self._limit_s
