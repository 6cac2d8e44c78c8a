"""Logging: one line a record, as text or as JSON, on stderr; passwords masked, whoever logs."""

import json
import logging
import re
import sys
from datetime import datetime, timezone
from typing import Literal, TextIO

_HANDLER_NAME = "rfdetr-edge"
_CHATTY_LIBRARIES = (
    *("uvicorn", "amqtt", "transitions", "paho", "PIL", "matplotlib"),
    *("httpx", "urllib3"),  # they log URLs, whose queries may be signatures
)
# Greedy, up to the last @ of the word: a password may hold a slash or an @ that nobody encoded.
_URL_CREDENTIALS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)\S*@")
_NAMED_SECRETS = re.compile(
    r"((?:password|passwd|pwd|user-pw|token|secret)=)[^\s&]+", re.IGNORECASE
)


def configure(
    level: Literal["debug", "info", "warning", "error"],
    format: Literal["text", "json"],
    stream: TextIO | None = None,
) -> None:
    """Send all records to ``stream`` (None: stderr). A second call replaces the first."""
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.name = _HANDLER_NAME
    handler.addFilter(RedactionFilter())
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    root = logging.getLogger()
    for earlier in [other for other in root.handlers if other.name == _HANDLER_NAME]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    least = getattr(logging, level.upper())
    root.setLevel(least)
    for library in _CHATTY_LIBRARIES:
        logging.getLogger(library).setLevel(max(least, logging.WARNING))


def redact(text: str) -> str:
    """``text`` with ``***`` for the user and password of every URL in it, and for named secrets."""
    return _NAMED_SECRETS.sub(r"\1***", _URL_CREDENTIALS.sub(r"\1***@", text))


class RedactionFilter(logging.Filter):
    """The last line of defence: nothing should log a secret, but a library may."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception:  # a wrong format: logging would print the arguments, unmasked, to stderr
            message = f"{record.msg} {record.args}"
        record.msg, record.args = redact(message), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True


class TextFormatter(logging.Formatter):
    """``2026-11-22T06:31:14.218Z INFO  camera dock: online``"""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-5s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        return _rfc3339(record.created)


class JsonFormatter(logging.Formatter):
    """One JSON object: ``time``, ``level``, ``logger``, ``message``, and ``exception`` if any."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": _rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            entry["exception"] = record.exc_text
        return json.dumps(entry)


def _rfc3339(wall_s: float) -> str:
    text = datetime.fromtimestamp(wall_s, timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
