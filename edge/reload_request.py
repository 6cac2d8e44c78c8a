"""How the process is asked to read its configuration anew. Light on imports, as `StopRequest`."""

import signal
from types import FrameType


class ReloadRequest:
    """``asked`` once somebody wants it; who obeys takes it back first."""

    def __init__(self) -> None:
        self.asked = False

    def install(self) -> None:
        """SIGHUP asks. For the main thread."""
        signal.signal(signal.SIGHUP, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
