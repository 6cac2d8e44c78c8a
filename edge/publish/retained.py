"""Which retained topics this daemon has left on a broker, remembered on disk across its runs."""

import json
import logging
import os
import threading
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger(__name__)

_VERSION = 1


class RetainedTopics:
    """The record of one broker's retained topics that are ours, and which of them are in use.

    A topic is on disk before its first retained message leaves, and stays there until the broker
    has acknowledged the empty message that clears it: whatever happens in between, the next start
    finds what it has to clear. The file keeps other brokers' topics too, for the day we are pointed
    back at one.

    Thread-safe; the lock is taken last and nothing is called under it. A file that cannot be read
    is set aside, one that cannot be written is reported once: the record then lives in memory only.
    """

    def __init__(self, path: Path, broker: str) -> None:
        self._path = path
        self._broker = broker  # host:port
        self._lock = threading.Lock()
        self._in_use: set[str] = set()
        self._write_failed = False
        self._brokers = self._read()
        self._ours = self._brokers.setdefault(broker, set())

    def keep(self, topics: Iterable[str]) -> None:
        """These are about to be published, and in use from now on."""
        with self._lock:
            wanted = set(topics)
            self._in_use |= wanted
            if not wanted <= self._ours:
                self._ours |= wanted
                self._write()

    def release(self, topic: str) -> None:
        """This one is in use no more: ``stale`` until the broker has cleared it."""
        with self._lock:
            self._in_use.discard(topic)

    def stale(self) -> list[str]:
        """Topics on the broker that are not in use, sorted."""
        with self._lock:
            return sorted(self._ours - self._in_use)

    def cleared(self, topic: str) -> None:
        """The broker has acknowledged the empty message. A topic used again meanwhile stays."""
        with self._lock:
            if topic in self._in_use or topic not in self._ours:
                return
            self._ours.discard(topic)
            if self._ours <= self._in_use:  # the last one of a batch: one write for all of it
                self._write()

    def _read(self) -> dict[str, set[str]]:
        try:
            document = json.loads(self._path.read_text(encoding="utf-8"))
            if document["version"] != _VERSION:
                raise ValueError(f"version {document['version']!r}")
            return {broker: _strings(topics) for broker, topics in document["brokers"].items()}
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            aside = self._path.with_name(self._path.name + ".corrupt")
            try:
                os.replace(self._path, aside)
                log.warning(
                    "%s is not a record of retained topics: set aside as %s; topics that left the "
                    "configuration before this start are not cleared",
                    self._path,
                    aside.name,
                )
            except OSError as error:
                log.warning("%s is damaged and cannot be set aside: %s", self._path, error)
        except OSError as error:
            log.warning("cannot read %s: %s", self._path, error)
        return {}

    def _write(self) -> None:
        brokers = {broker: sorted(topics) for broker, topics in self._brokers.items() if topics}
        text = json.dumps({"version": _VERSION, "brokers": brokers}, indent=1)
        try:
            _replace(self._path, text.encode())
        except OSError as error:
            if not self._write_failed:
                log.warning(
                    "cannot write %s: %s; retained topics that leave the configuration may stay on "
                    "the broker",
                    self._path,
                    error,
                )
            self._write_failed = True
        else:
            self._write_failed = False


def _strings(topics: object) -> set[str]:
    if not isinstance(topics, list) or not all(isinstance(topic, str) for topic in topics):
        raise TypeError("topics are a list of strings")
    return set(topics)


def _replace(path: Path, content: bytes) -> None:
    """Write ``path`` so that a power cut leaves either the old content or the new one."""
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
