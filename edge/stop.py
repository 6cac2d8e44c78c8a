"""How the process is asked to stop. Light on imports: it is in place before anything is loaded."""

import os
import signal
from types import FrameType

EXIT_AT_ONCE = 1


class StopRequest:
    """``asked`` once somebody wants the process to end; who cares looks at it every now and then.

    A plain flag: a signal handler runs inside the main thread, wherever that is, and an Event whose
    lock the thread holds just then would never be set.
    """

    def __init__(self) -> None:
        self.asked = False

    def install(self) -> None:
        """SIGTERM and SIGINT ask; a second one exits at once. For the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            os._exit(EXIT_AT_ONCE)
        self.asked = True
