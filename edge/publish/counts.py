"""The retained counts of one camera: open objects, in all and by zone, and its lines' totals."""

import json
from collections.abc import Mapping, Sequence
from typing import Protocol

from edge.publish.topics import Topics, label_slug

UNKNOWN = "None"  # the count of a camera that sees nothing at the moment: never a false 0


def label_slugs(names: Sequence[str | None]) -> dict[str, str]:
    """The topic level of each label, by class row: the same in every run with this model.

    Labels that stand in several rows are one.
    """
    slugs: dict[str, str] = {}
    for class_id, name in enumerate(names):
        if name is not None and name not in slugs:
            slugs[name] = label_slug(name, class_id, slugs.values())
    return slugs


class PublishesRetained(Protocol):
    """What is needed of the publisher."""

    def publish_retained(self, topic: str, payload: str | bytes) -> None: ...


class CountTopics:
    """Keeps the count, zone and line topics of one camera true. Owned by the events thread.

    Every announced label has its topics, with a 0 where there is nothing to count. A topic is
    published where its payload has changed.
    """

    def __init__(
        self,
        publisher: PublishesRetained,
        topics: Topics,
        camera: str,
        slugs: Mapping[str, str],
        zones: Sequence[str],
        lines: Sequence[str],
    ) -> None:
        self._publisher, self._topics = publisher, topics
        self._camera, self._slugs = camera, slugs
        self._zones, self._lines = zones, lines
        self._payloads: dict[str, str] = {}  # by topic
        self.labels: list[str] = []  # announced, in that order

    def announce(self, label: str) -> bool:
        """From now on this label has topics; False where it had them, or the model lacks it."""
        if label in self.labels or label not in self._slugs:
            return False
        self.labels.append(label)
        return True

    @property
    def topics(self) -> set[str]:
        """Those that were published."""
        return set(self._payloads)

    def publish(
        self,
        by_label: Mapping[str, int] | None,
        by_zone: Mapping[tuple[str, str], int] | None,
        totals: Mapping[tuple[str, str], tuple[int, int]],
    ) -> None:
        """Bring the topics up to date.

        ``by_label`` and ``by_zone`` (zone, label) count the open objects; None: nobody knows.
        ``totals`` are the crossings in and out by (line, label).
        """
        for label in self.labels:
            slug = self._slugs[label]
            count = UNKNOWN if by_label is None else str(by_label.get(label, 0))
            self._set(self._topics.count(self._camera, slug), count)
            for zone in self._zones:
                inside = UNKNOWN if by_zone is None else str(by_zone.get((zone, label), 0))
                self._set(self._topics.zone(self._camera, zone, slug), inside)
            for line in self._lines:
                ins, outs = totals.get((line, label), (0, 0))
                total = json.dumps({"in": ins, "out": outs})
                self._set(self._topics.line(self._camera, line, slug), total)

    def _set(self, topic: str, payload: str) -> None:
        if self._payloads.get(topic) != payload:
            self._payloads[topic] = payload
            self._publisher.publish_retained(topic, payload)
