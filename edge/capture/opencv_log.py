"""OpenCV's own messages."""

from typing import Any

import cv2

_SILENT = 0


def silence_opencv() -> None:
    """Let OpenCV print nothing: it repeats addresses, passwords included; we say what failed."""
    module: Any = cv2
    if hasattr(module, "setLogLevel"):  # before 4.9, JetPack's 4.8 among them
        module.setLogLevel(_SILENT)
    else:
        module.utils.logging.setLogLevel(_SILENT)
