"""How much the machine did for others while we measured: it decides what the figures are worth."""

import os
import resource
import time
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_IDLE, _IOWAIT, _STOLEN = 3, 4, 7  # columns of /proc/stat; those behind _STOLEN are in others


class OtherWork:
    """Counts from its making on."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._stat = root / "proc/stat"
        self._start_s, self._busy_s, self._ours_s = time.monotonic(), self._busy(), _ours()

    def cores(self) -> float:
        """Cores that were busy with other processes, on average, or stolen by the hypervisor.

        Our own child processes count as ours once they have ended.
        """
        wall_s = time.monotonic() - self._start_s
        others_s = self._busy() - self._busy_s - (_ours() - self._ours_s)
        return max(0.0, others_s / wall_s) if wall_s > 0 else 0.0

    def _busy(self) -> float:
        try:
            fields = self._stat.read_text().split("\n", 1)[0].split()[1:]
        except OSError:
            return 0.0
        ticks = [int(field) for field in fields[: _STOLEN + 1]]
        return (sum(ticks) - ticks[_IDLE] - ticks[_IOWAIT]) / _TICKS_PER_S


def _ours() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
