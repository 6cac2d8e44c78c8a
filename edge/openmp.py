"""How long the threads that compute an operator together spin before they sleep.

By default those of GNU OpenMP spin for milliseconds, a slice of the scheduler's. Beside another
busy thread that is time taken from the very thread that they wait for. The gaps between two
operators are shorter than a tenth of a millisecond; spinning for that long costs nothing, and
beside a busy process seg-nano on two cores takes 1.0 s a frame instead of 1.4 s (alone 0.4 s).
Without any spinning it is 0.8 s, but 4 % more when alone.
"""

import os
from collections.abc import Mapping, MutableMapping

_VARIABLE, _TURNS = "GOMP_SPINCOUNT", "10000"
_MARK = "RFDETR_EDGE_SET_GOMP_SPINCOUNT"  # inherited: ours, and not the user's


def spin_briefly(environ: MutableMapping[str, str] = os.environ) -> None:
    """For the whole process, unless the user has chosen otherwise; before torch is imported."""
    if _VARIABLE not in environ and "OMP_WAIT_POLICY" not in environ:
        environ[_VARIABLE], environ[_MARK] = _TURNS, "1"


def as_found(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment without what ``spin_briefly`` has put there: for others' programs."""
    ours = {_VARIABLE, _MARK} if _MARK in environ else set()
    return {name: value for name, value in environ.items() if name not in ours}
