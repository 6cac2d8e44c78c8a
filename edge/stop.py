"""How the process is asked to stop. Light on imports: it is in place before anything is loaded."""

import os
import signal
import threading
from types import FrameType

EXIT_AT_ONCE = 1


class StopRequest:
    """``asked`` once somebody wants the process to end; ``wake`` rouses the main thread to look."""

    def __init__(self) -> None:
        self.asked = False
        self.wake = threading.Event()

    def ask(self) -> None:
        self.asked = True
        self.wake.set()

    def install(self) -> None:
        """SIGTERM and SIGINT ask; a second one exits at once. For the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            os._exit(EXIT_AT_ONCE)
        self.ask()
