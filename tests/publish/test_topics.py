import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.publish.topics import Topics, label_slug


def test_topics_are_those_of_the_contract():
    topics = Topics("site/rfdetr-edge", "dock-7")
    assert topics.status == "site/rfdetr-edge/dock-7/status"
    assert topics.info == "site/rfdetr-edge/dock-7/info"
    assert topics.heartbeat == "site/rfdetr-edge/dock-7/heartbeat"
    assert topics.camera_status("dock") == "site/rfdetr-edge/dock-7/dock/status"
    assert topics.frame("dock") == "site/rfdetr-edge/dock-7/dock/frame"
    assert topics.events("dock") == "site/rfdetr-edge/dock-7/dock/events"
    assert topics.count("dock", "person") == "site/rfdetr-edge/dock-7/dock/count/person"
    assert topics.zone("dock", "bay", "person") == "site/rfdetr-edge/dock-7/dock/zone/bay/person"
    assert topics.line("dock", "gate", "person") == "site/rfdetr-edge/dock-7/dock/line/gate/person"
    assert topics.snapshot("dock") == "site/rfdetr-edge/dock-7/dock/snapshot"
    assert topics.enabled_set("dock") == "site/rfdetr-edge/dock-7/dock/enabled/set"
    assert topics.enabled_state("dock") == "site/rfdetr-edge/dock-7/dock/enabled/state"


@pytest.mark.parametrize(
    ("topic", "kind"),
    [
        ("a/n/status", "status"),
        ("a/n/info", "info"),
        ("a/n/heartbeat", "heartbeat"),
        ("a/n/dock/status", "status"),
        ("a/n/dock/frame", "frame"),
        ("a/n/dock/count/person", "count"),
        ("a/n/status/status", "status"),  # a camera may be called so
        ("a/n/dock/zone/bay/person", "zone"),
        ("a/n/dock/enabled/state", "enabled"),
        ("homeassistant/device/x/config", "discovery"),
        ("a/nn/info", "discovery"),
    ],
)
def test_kind_is_the_level_that_says_it(topic: str, kind: str):
    assert Topics("a", "n").kind(topic) == kind


@pytest.mark.parametrize("base_topic", ["", "a/+", "a#", "a\0"])
def test_base_topic_that_no_broker_takes_is_refused(base_topic: str):
    with pytest.raises(ValueError, match="base_topic"):
        Topics(base_topic, "n")


@pytest.mark.parametrize(
    ("label", "slug"),
    [
        ("person", "person"),
        ("traffic light", "traffic_light"),
        ("Hot  Dog!", "hot_dog_"),
        ("a-b_c", "a-b_c"),
        ("a__b", "a_b"),
        ("Straße", "stra_e"),
        ("#/+", "_"),
        ("", "_9"),
    ],
)
def test_slug(label: str, slug: str):
    assert label_slug(label, 9, taken=()) == slug


def test_colliding_slug_gets_the_class_id():
    assert label_slug("Hot Dog", 58, taken={"hot_dog"}) == "hot_dog_58"


def test_slug_that_collides_with_its_own_suffix_stays_unique():
    assert label_slug("a b", 3, taken={"a_b", "a_b_3"}) == "a_b_3_3"


@settings(deadline=None)
@given(st.lists(st.text(max_size=8), max_size=12))
def test_slugs_are_unique_and_one_topic_level(labels: list[str]):
    slugs: list[str] = []
    for class_id, label in enumerate(labels):
        slugs.append(label_slug(label, class_id, slugs))
    assert len(set(slugs)) == len(labels)
    assert all(
        slug and set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_") for slug in slugs
    )
