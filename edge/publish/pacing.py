"""How fast something may go."""


class TokenBucket:
    """At most ``rate`` a second, ``burst`` of them at once. Times are seconds on any one clock."""

    def __init__(self, rate: float, burst: float, now_s: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at_s = burst, now_s

    def take(self, now_s: float) -> bool:
        """Take one if there is one."""
        self._refill(now_s)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def wait_s(self, now_s: float) -> float:
        """How long until there is one."""
        self._refill(now_s)
        return max(0.0, (1 - self._tokens) / self._rate)

    def _refill(self, now_s: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
