"""The configuration read anew while the daemon runs: all that changed is taken over, or nothing."""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from edge.config import Config, ConfigError, Loaded
from edge.inference_run import InferenceRun
from edge.logs import redact
from edge.metrics import Metrics
from edge.reload_request import ReloadRequest
from edge.report import first_line
from edge.systemd import Notifier

EXTEND_S = 60
# What the process is built around, or holds open: a change of these waits for the next start.
AT_START = ("node", "state_dir", "cache_dir", "mqtt", "spool", "http")

CheckpointState = tuple[int, ...]

log = logging.getLogger(__name__)


class Reloadable(Protocol):
    """What is asked of the daemon."""

    def refusals(self, config: Config) -> Sequence[str]:
        """What the running model cannot do of ``config``, one line each."""
        ...

    def prepare(self, config: Config) -> InferenceRun:
        """Begin to load the model of ``config`` beside the running one."""
        ...

    def take_over(self, config: Config, successor: InferenceRun | None) -> None:
        """Go on with ``config``, and with the model of ``successor`` where there is one."""
        ...


class Reload:
    """Owned by the main thread, which gives it its `turn` every now and then.

    ``config`` is the one in force; ``refused`` says why the last one is not, and is empty where it
    is. The files behind a configuration count as part of it: a checkpoint that was written anew is
    loaded anew.
    """

    def __init__(
        self,
        config: Config,
        reread: Callable[[], Loaded],
        request: ReloadRequest,
        daemon: Reloadable,
        metrics: Metrics,
        notifier: Notifier,
    ) -> None:
        """``reread`` reads the file again; raises ``ConfigError``."""
        self.config = config
        self.refused = ""
        self._checkpoint = checkpoint_state(config)
        self._reread, self._request, self._daemon = reread, request, daemon
        self._metrics, self._notifier = metrics, notifier
        self._coming: tuple[Config, CheckpointState, InferenceRun] | None = None
        self._note(taken_over=True)

    @property
    def loads(self) -> bool:
        """A model is being loaded beside the one that runs."""
        return self._coming is not None

    def turn(self) -> None:
        if self._coming is not None:
            self._look_after(*self._coming)
        elif self._request.asked:
            self._request.asked = False
            self._notifier.reloading()
            self._begin()

    def stop(self) -> bool:
        """The daemon stops; False where a model is still being loaded, which is not broken off."""
        if self._coming is None:
            return True
        *_, successor = self._coming
        return successor.stop(0)

    def _begin(self) -> None:
        try:
            config, warnings = self._reread()
        except ConfigError as error:
            self._refuse(error.problems)
            return
        for warning in warnings:
            log.warning("%s", warning)
        checkpoint = checkpoint_state(config)
        if config.model != self.config.model or checkpoint != self._checkpoint:
            log.info("loading the model anew, beside the one that runs")
            self._coming = config, checkpoint, self._daemon.prepare(config)
        elif problems := self._daemon.refusals(config):
            self._refuse(problems)
        else:
            self._take_over(config, checkpoint, None)

    def _look_after(
        self, config: Config, checkpoint: CheckpointState, successor: InferenceRun
    ) -> None:
        if successor.failure is not None:
            self._coming = None
            error = successor.failure
            self._refuse(getattr(error, "problems", None) or [first_line(error)])
        elif successor.model is not None:
            self._coming = None
            self._take_over(config, checkpoint, successor)
        elif successor.works():
            self._notifier.extend_start(EXTEND_S)

    def _take_over(
        self, config: Config, checkpoint: CheckpointState, successor: InferenceRun | None
    ) -> None:
        before = self.config
        waits = [key for key in AT_START if getattr(config, key) != getattr(before, key)]
        # What waits is still what was started with, and is told again at the next reload.
        self.config = config.model_copy(update={key: getattr(before, key) for key in AT_START})
        self._checkpoint = checkpoint
        self._daemon.take_over(self.config, successor)
        self.refused = ""
        self._note(taken_over=True)
        for key in waits:
            log.warning("%s: has changed, which counts from the next start", key)
        log.info("reloaded: %s", "; ".join(_differences(before, self.config, successor)))
        self._notifier.ready()

    def _refuse(self, problems: Sequence[str]) -> None:
        for problem in problems:
            log.error("%s", redact(problem))
        log.error("reload refused: everything goes on as before")
        self.refused = redact(problems[0])
        self._note(taken_over=False)
        self._notifier.ready()

    def _note(self, *, taken_over: bool) -> None:
        self._metrics.config_reload_successful.set(taken_over)
        if taken_over:
            self._metrics.config_reload_time.set(time.time())


def checkpoint_state(config: Config) -> CheckpointState:
    """Tells one checkpoint at the configured path from another; () where none is named."""
    if config.model.path is None:
        return ()
    try:
        status = Path(config.model.path).stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _differences(before: Config, after: Config, successor: InferenceRun | None) -> list[str]:
    was = {camera.id: camera for camera in before.cameras}
    is_ = {camera.id: camera for camera in after.cameras}
    kinds = {
        "added": [name for name in is_ if name not in was],
        "changed": [name for name in is_ if name in was and was[name] != is_[name]],
        "removed": [name for name in was if name not in is_],
    }
    told = [f"cameras {kind}: {', '.join(names)}" for kind, names in kinds.items() if names]
    if not told and list(was) != list(is_):
        told.append("the cameras' order")
    if successor is not None:
        told.append("the model was loaded anew")
    told += [key for key in ("tracking", "log") if getattr(before, key) != getattr(after, key)]
    return told or ["nothing has changed"]
