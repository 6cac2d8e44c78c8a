"""The topic tree below ``<base_topic>/<node>``, and how a label becomes a topic level."""

import re
from collections.abc import Collection

_NOT_IN_A_SLUG = re.compile(r"[^a-z0-9-]+")
_FORBIDDEN = ("+", "#", "\0")  # wildcards and NUL: no broker accepts them in a published topic


class Topics:
    """Names of this daemon's topics.

    Raises ``ValueError`` with one sentence where base topic or node cannot stand in a topic.
    """

    def __init__(self, base_topic: str, node: str) -> None:
        for name, text in (("base_topic", base_topic), ("node", node)):
            if not text or any(char in text for char in _FORBIDDEN):
                raise ValueError(f"{name}: {text!r} is empty or has a '+', '#' or NUL in it")
        self.root = f"{base_topic}/{node}"
        self.status = f"{self.root}/status"
        self.info = f"{self.root}/info"
        self.heartbeat = f"{self.root}/heartbeat"

    def camera_status(self, camera: str) -> str:
        return f"{self.root}/{camera}/status"

    def frame(self, camera: str) -> str:
        return f"{self.root}/{camera}/frame"

    def events(self, camera: str) -> str:
        return f"{self.root}/{camera}/events"

    def count(self, camera: str, slug: str) -> str:
        return f"{self.root}/{camera}/count/{slug}"

    def zone(self, camera: str, zone: str, slug: str) -> str:
        return f"{self.root}/{camera}/zone/{zone}/{slug}"

    def line(self, camera: str, line: str, slug: str) -> str:
        return f"{self.root}/{camera}/line/{line}/{slug}"

    def snapshot(self, camera: str) -> str:
        return f"{self.root}/{camera}/snapshot"

    def enabled_set(self, camera: str) -> str:
        return f"{self.root}/{camera}/enabled/set"

    def enabled_state(self, camera: str) -> str:
        return f"{self.root}/{camera}/enabled/state"

    def camera_of(self, topic: str) -> str:
        """The camera that a topic below our root is of."""
        return topic.removeprefix(f"{self.root}/").partition("/")[0]

    def retained_filters(self) -> list[str]:
        """Filters of what is retained below a camera."""
        below = ("status", "enabled/state", "count/+", "zone/+/+", "line/+/+")
        return [f"{self.root}/+/{levels}" for levels in below]

    def kind(self, topic: str) -> str:
        """What a message on ``topic`` is, as the ``kind`` label of the metrics.

        The level that says it: ``status``, ``info``, ``heartbeat``, ``frame``, ``count`` and so on;
        ``discovery`` for a topic outside the tree.
        """
        if not topic.startswith(self.root + "/"):
            return "discovery"
        levels = topic.removeprefix(self.root + "/").split("/")
        return levels[0] if len(levels) == 1 else levels[1]


def label_slug(label: str, class_id: int, taken: Collection[str]) -> str:
    """The topic level that stands for ``label``, unlike any in ``taken`` (slugs given out before).

    Lower case, every run of other characters than ``a-z0-9-`` one ``_``; a colliding or empty slug
    gets ``_<class_id>``.
    """
    slug = _NOT_IN_A_SLUG.sub("_", label.lower())
    while (
        not slug or slug in taken
    ):  # twice where a label is spelt like another one's suffixed slug
        slug = f"{slug}_{class_id}"
    return slug
