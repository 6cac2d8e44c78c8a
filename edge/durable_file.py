"""Small files that outlive a power cut, and what becomes of the daemon where they cannot."""

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")


def replace_file(path: Path, content: bytes) -> None:
    """Write ``path`` so that a power cut leaves either the old content or the new one.

    Its folder is made where there is none. Raises ``OSError``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # the rename itself is in the folder
    finally:
        os.close(folder)


class DurableJson:
    """One JSON document on disk. Trouble with it is told in the log, and never raised.

    ``holds`` names what it is a record of; ``when_damaged`` and ``when_unwritable`` say what comes
    of it where it cannot be read or written.
    """

    def __init__(
        self, path: Path, version: int, holds: str, *, when_damaged: str, when_unwritable: str
    ) -> None:
        self._path, self._version, self._holds = path, version, holds
        self._when_damaged, self._when_unwritable = when_damaged, when_unwritable
        self._unwritten: dict[str, object] | None = None

    def read(self, parse: Callable[[dict[str, Any]], T]) -> T | None:
        """What ``parse`` makes of the document; None where there is none that can be used.

        A damaged one, which is one that ``parse`` raises ``ValueError``, ``KeyError``,
        ``TypeError`` or ``AttributeError`` for, is set aside with ``.corrupt`` after its name.
        """
        try:
            document = json.loads(self._path.read_text(encoding="utf-8"))
            if document["version"] != self._version:
                raise ValueError(f"version {document['version']!r}")
            return parse(document)
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self._set_aside()
        except OSError as error:
            log.warning("cannot read %s: %s; %s", self._path, error, self._when_damaged)
        return None

    def write(self, document: dict[str, object]) -> None:
        """Bring ``document`` to the disk; a failure is told once until it works again."""
        text = json.dumps({"version": self._version, **document}, indent=1)
        try:
            replace_file(self._path, text.encode())
        except OSError as error:
            if self._unwritten is None:
                log.warning("cannot write %s: %s; %s", self._path, error, self._when_unwritable)
            self._unwritten = document
        else:
            self._unwritten = None

    def retry(self) -> None:
        """Write what could not be written."""
        if self._unwritten is not None:
            self.write(self._unwritten)

    def _set_aside(self) -> None:
        aside = self._path.with_name(self._path.name + ".corrupt")
        try:
            os.replace(self._path, aside)
        except OSError as error:
            log.warning("%s is damaged and cannot be set aside: %s", self._path, error)
            return
        log.warning(
            "%s is not a record of %s: set aside as %s; %s",
            self._path,
            self._holds,
            aside.name,
            self._when_damaged,
        )


def strings(value: object) -> list[str]:
    """``value``, a part of a document, if it is a list of strings. Raises ``TypeError``."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError("not a list of strings")
    return value
