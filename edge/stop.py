"""How the process is asked to stop. Light on imports: it is in place before anything is loaded."""

import os
import signal
import time
from types import FrameType

EXIT_AT_ONCE = 1
SAME_SIGNAL_S = 0.2


class StopRequest:
    """``asked`` once somebody wants the process to end; who cares looks at it every now and then.

    A plain flag: a signal handler runs inside the main thread, wherever that is, and an Event whose
    lock the thread holds just then would never be set.
    """

    def __init__(self) -> None:
        self.asked = False
        self._asked_at_s = 0.0

    def install(self) -> None:
        """SIGTERM and SIGINT ask; a second one exits at once. For the main thread.

        One signal often arrives twice within milliseconds, to the process and to its group (from
        `timeout`, say): that is still one.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def finished(self) -> None:
        """All is stopped and said: a signal that comes now changes nothing any more."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now_s = time.monotonic()
        if self.asked and now_s - self._asked_at_s > SAME_SIGNAL_S:
            os.write(2, b"rfdetr-edge: second signal, leaving at once\n")
            os._exit(EXIT_AT_ONCE)
        if not self.asked:
            self.asked, self._asked_at_s = True, now_s
