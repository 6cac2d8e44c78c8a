"""One model's time: a thread that loads it, and infers with it from when it is told to."""

import threading
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from edge.process import make_way, thread_cpu_ns

if TYPE_CHECKING:
    from edge.inference.loop import Infers
    from edge.model_loading import LoadedModel


class InferenceRun:
    """A thread that builds an engine and is the only one to use it; the rest is the main thread's.

    A new model comes with a new thread: it loads and warms up while the one before still infers,
    and begins once that has ended. ``model`` is set when it is warm, ``failure`` where loading or
    inferring has failed; ``changed`` is called after either, in the thread.
    """

    def __init__(
        self,
        load: "Callable[[], LoadedModel]",
        infer: "Callable[[Infers, threading.Event], None]",
        changed: Callable[[], None],
        *,
        patient: bool = False,
    ) -> None:
        """``infer(engine, stop)`` is the inference loop, which returns once ``stop`` is set.

        ``patient``: load in a thread of the lowest priority, which may be another one where the
        engine is on a CPU; so the model that infers meanwhile keeps the processor.
        """
        self._load, self._infer, self._changed = load, infer, changed
        self._patient = patient
        self.model: LoadedModel | None = None
        self.failure: BaseException | None = None
        self._begin = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._loader = self._thread
        self._worked_ns = 0

    def start(self) -> None:
        """Begin to load."""
        self._thread.start()

    def begin(self) -> None:
        """Infer, as soon as the model is warm."""
        self._begin.set()

    def stop(self, within_s: float) -> bool:
        """End, with the frames in flight finished; False where that takes longer.

        Loading is not broken off.
        """
        self._stop.set()
        self._begin.set()
        if self._thread.is_alive():
            self._thread.join(within_s)
        return not self._thread.is_alive()

    def works(self) -> bool:
        """Whether loading has done anything since this was asked last: it may hang."""
        before_ns, self._worked_ns = self._worked_ns, thread_cpu_ns(self._loader.native_id)
        return self._worked_ns > before_ns

    def _loaded(self) -> "LoadedModel":
        if not self._patient:
            return self._load()
        loaded: list[LoadedModel] = []
        failures: list[BaseException] = []

        def load() -> None:
            make_way()
            try:
                loaded.append(self._load())
            except BaseException as error:
                failures.append(error)

        # A priority that was lowered cannot be raised again: not ours, which is to infer.
        self._loader = threading.Thread(target=load, name="loading", daemon=True)
        self._loader.start()
        self._loader.join()
        for error in failures:
            raise error
        return loaded[0]

    def _run(self) -> None:
        try:
            self.model = model = self._loaded()
            self._changed()
            self._begin.wait()
            self._infer(model.engine, self._stop)
            self.model = None
            model.engine.close()  # the memory is the next one's
        except BaseException as error:
            traceback.clear_frames(error.__traceback__)  # they hold what was loaded so far
            self.failure = error
            self._changed()
