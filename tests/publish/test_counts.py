"""The retained counts: what is announced, what is published, and when nothing is."""

import json

from edge.publish.counts import CountTopics, label_slugs
from edge.publish.topics import Topics

NAMES = ("person", "Traffic light", None, "traffic_light", "***", "person")


class Remembers:
    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    def publish_retained(self, topic, payload):
        self.sent.append((topic.removeprefix("rfdetr-edge/node/dock/"), payload))

    def last(self) -> dict[str, str]:
        sent, self.sent = dict(self.sent), []
        return sent


def counts(zones=("bay",), lines=("gate",)) -> tuple[CountTopics, Remembers]:
    publisher = Remembers()
    topics = Topics("rfdetr-edge", "node")
    return CountTopics(publisher, topics, "dock", label_slugs(NAMES), zones, lines), publisher


def test_slugs_depend_on_the_model_alone():
    assert label_slugs(NAMES) == {
        "person": "person",
        "Traffic light": "traffic_light",
        "traffic_light": "traffic_light_3",
        "***": "_",
    }


def test_what_is_not_announced_has_no_topics():
    counted, publisher = counts()
    counted.publish({"person": 1}, {}, {})
    assert publisher.sent == []


def test_an_announced_label_has_all_its_topics_at_once():
    counted, publisher = counts()
    assert counted.announce("Traffic light")
    counted.publish({}, {}, {})
    assert publisher.last() == {
        "count/traffic_light": "0",
        "zone/bay/traffic_light": "0",
        "line/gate/traffic_light": json.dumps({"in": 0, "out": 0}),
    }


def test_only_changes_are_published():
    counted, publisher = counts()
    counted.announce("person")
    counted.announce("***")
    counted.publish({"person": 1}, {}, {})
    publisher.last()
    counted.publish({"person": 1}, {}, {})
    assert publisher.last() == {}
    counted.publish({"person": 2}, {("bay", "***"): 1}, {("gate", "person"): (3, 1)})
    assert publisher.last() == {
        "count/person": "2",
        "zone/bay/_": "1",
        "line/gate/person": '{"in": 3, "out": 1}',
    }


def test_nobody_knows_is_not_zero_and_totals_stay():
    counted, publisher = counts()
    counted.announce("person")
    counted.publish({"person": 2}, {}, {("gate", "person"): (3, 1)})
    publisher.last()
    counted.publish(None, None, {("gate", "person"): (3, 1)})
    assert publisher.last() == {"count/person": "None", "zone/bay/person": "None"}


def test_a_label_is_announced_once_and_only_if_the_model_has_it():
    counted, _ = counts()
    assert counted.announce("person")
    assert not counted.announce("person")
    assert not counted.announce("of an older model")
    assert counted.labels == ["person"]
