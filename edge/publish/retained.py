"""Which retained topics this daemon has left on a broker, remembered on disk across its runs."""

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edge.durable_file import DurableJson, strings

_VERSION = 1


class RetainedTopics:
    """The record of one broker's (``host:port``) topics that are ours, and which are in use.

    A topic is on disk before its first retained message leaves, and stays there until the broker
    has acknowledged the empty message that clears it: whatever happens in between, the next start
    finds what it has to clear. The file keeps other brokers' topics too, for the day we are pointed
    back at one.

    Thread-safe; the lock is taken last and nothing is called under it. A file that cannot be read
    is set aside, one that cannot be written is reported once: the record then lives in memory only.
    """

    def __init__(self, path: Path, broker: str) -> None:
        self._file = DurableJson(
            path,
            _VERSION,
            "retained topics",
            when_damaged="topics that left the configuration before this start are not cleared",
            when_unwritable="retained topics that leave the configuration may stay on the broker",
        )
        self._lock = threading.Lock()
        self._in_use: set[str] = set()
        self._brokers = self._file.read(_brokers) or {}
        self._ours = self._brokers.setdefault(broker, set())

    def keep(self, topics: Iterable[str]) -> None:
        """These are about to be published, and in use from now on."""
        with self._lock:
            wanted = set(topics)
            self._in_use |= wanted
            if not wanted <= self._ours:
                self._ours |= wanted
                self._write()

    def found(self, topic: str) -> bool:
        """The broker holds this one below our root; True where the record does not know it.

        Only we publish there, so it is ours, and `stale` until it is used.
        """
        with self._lock:
            unknown = topic not in self._ours
            self._ours.add(topic)
            return unknown

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

    def _write(self) -> None:
        brokers = {broker: sorted(topics) for broker, topics in self._brokers.items() if topics}
        self._file.write({"brokers": brokers})


def _brokers(document: dict[str, Any]) -> dict[str, set[str]]:
    return {broker: set(strings(topics)) for broker, topics in document["brokers"].items()}
