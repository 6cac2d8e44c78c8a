"""How the threads that compute an operator together wait for each other.

By default they spin for milliseconds. On a machine that does nothing else, sleeping makes no
difference that could be measured. Where other threads are busy, too, as decoders are, the spinning
ones keep them from the cores that all wait for, and a forward pass becomes several times slower.
"""

import os
from collections.abc import Mapping, MutableMapping

_POLICY = "OMP_WAIT_POLICY"
_MARK = "RFDETR_EDGE_SET_OMP_WAIT_POLICY"  # inherited: ours, and not the user's


def wait_asleep(environ: MutableMapping[str, str] = os.environ) -> None:
    """For the whole process, unless the user has chosen otherwise; before torch is imported."""
    if _POLICY not in environ:
        environ[_POLICY], environ[_MARK] = "passive", "1"


def as_found(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment without what ``wait_asleep`` has put there: for others' programs."""
    ours = {_POLICY, _MARK} if _MARK in environ else set()
    return {name: value for name, value in environ.items() if name not in ours}
