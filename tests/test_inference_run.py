"""A model's thread: loads, waits for its turn, infers, and gives the memory back."""

import os
import threading
import weakref
from types import SimpleNamespace
from typing import Any

import pytest

from edge.inference_run import InferenceRun

DEADLINE_S = 20.0


def priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


class Weights:
    """What takes the memory."""


class Bench:
    """A run of a model that notes what happens to it, and in which thread."""

    def __init__(self, *, patient: bool = False, failure: Exception | None = None) -> None:
        self.notes: list[tuple[Any, ...]] = []
        self.changed = threading.Event()
        self.failure = failure
        self.weights: weakref.ref[Any] | None = None
        self.run = InferenceRun(self.load, self.infer, self.changed.set, patient=patient)

    def load(self) -> Any:
        weights = Weights()
        self.weights = weakref.ref(weights)
        self.note("load")
        if self.failure is not None:
            raise self.failure
        return SimpleNamespace(engine=SimpleNamespace(close=lambda: self.note("close")))

    def infer(self, engine: Any, stop: threading.Event) -> None:
        self.note("infer")
        assert stop.wait(DEADLINE_S)

    def note(self, what: str) -> None:
        self.notes.append((what, threading.current_thread().name, priority()))


@pytest.mark.parametrize(("patient", "loads"), [(False, "inference"), (True, "loading")])
def test_it_infers_when_told_and_closes_when_stopped(patient, loads):
    bench, usual = Bench(patient=patient), priority()
    bench.run.start()
    assert bench.changed.wait(DEADLINE_S)
    assert bench.run.model is not None
    loading = ("load", loads, 19 if patient else usual)
    assert bench.notes == [loading], "it does not infer before it is told"
    bench.run.begin()
    assert bench.run.stop(DEADLINE_S)
    assert bench.run.model is None
    infers, closes = (("infer", "inference", usual), ("close", "inference", usual))
    assert bench.notes == [loading, infers, closes]


@pytest.mark.parametrize("patient", [False, True])
def test_what_a_failed_load_held_is_let_go(patient):
    bench = Bench(patient=patient, failure=MemoryError("too large"))
    bench.run.start()
    assert bench.changed.wait(DEADLINE_S)
    assert isinstance(bench.run.failure, MemoryError)
    assert bench.weights is not None
    assert bench.weights() is None, "the failure's traceback keeps it"
    assert bench.run.stop(DEADLINE_S)
    assert bench.run.model is None
