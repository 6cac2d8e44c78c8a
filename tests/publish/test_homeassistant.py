"""What is announced to Home Assistant; how it takes that is tried by ``make homeassistant``."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.publish.homeassistant import (
    Announcement,
    CameraDevice,
    birth_topic,
    discovery,
    discovery_topic,
)
from edge.publish.topics import Topics

# The announcement that was tried. Whoever changes it runs `make homeassistant` again.
GOLDEN = Path(__file__).with_name("homeassistant_device.json")

DOCK = CameraDevice("dock", {"person": "person", "Straße": "stra_e"}, ["bay"], ["gate"], True)


def announce(
    device: CameraDevice, announced: dict[str, str] | None = None, node: str = "dock-7"
) -> Announcement:
    topics = Topics("rfdetr-edge", node)
    return discovery(
        topics, "homeassistant", node, "0.1.0", "rfdetr-seg-preview", device, announced
    )


def components(announcement: Announcement) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(announcement.payload)["components"]
    return found


def test_announcement_is_the_one_that_was_tried_on_home_assistant():
    assert json.loads(announce(DOCK).payload) == json.loads(GOLDEN.read_bytes())


def test_topic_is_one_per_camera():
    assert announce(DOCK).topic == "homeassistant/device/rfdetr-edge_dock-7_dock/config"
    assert announce(DOCK).topic == discovery_topic("homeassistant", "dock-7", "dock")


def test_home_assistant_says_that_it_is_up_on_its_status():
    assert birth_topic("homeassistant") == "homeassistant/status"


def test_camera_without_labels_has_its_status_and_switch_only():
    device = CameraDevice("dock", {}, ["bay"], ["gate"])
    assert announce(device).platforms == {
        "connectivity": "binary_sensor",
        "status": "sensor",
        "enabled": "switch",
    }


def test_zones_and_lines_have_components_for_each_label():
    device = CameraDevice("dock", {"a": "a", "b": "b"}, ["bay", "ramp"], ["gate"])
    found = components(announce(device))
    assert len(found) == 3 + 2 * (2 + 2 * 2 + 2)
    assert found["zone/ramp/b"]["state_topic"] == "rfdetr-edge/dock-7/dock/zone/ramp/b"
    assert found["zone/ramp/b"]["name"] == "b in ramp"
    assert found["line/gate/a/in"]["state_topic"] == "rfdetr-edge/dock-7/dock/line/gate/a"
    assert found["line/gate/a/in"]["name"] == "gate a in"


def test_order_of_labels_does_not_change_what_a_component_is():
    device = CameraDevice("dock", {"a": "a", "b": "b"})
    other = CameraDevice("dock", {"b": "b", "a": "a"})
    assert components(announce(device)) == components(announce(other))


def test_label_of_blanks_is_called_by_its_slug():
    assert components(announce(CameraDevice("dock", {" ": "_9"})))["count/_9"]["name"] == "_9"


def test_label_that_is_no_valid_unicode_is_announced_all_the_same():
    found = components(announce(CameraDevice("dock", {"a\ud800": "a_"})))
    assert found["count/a_"]["name"] == "a?"


def test_component_that_has_left_is_withdrawn_until_it_comes_back():
    before = announce(DOCK)
    without = CameraDevice("dock", {"person": "person", "Straße": "stra_e"}, [], ["gate"], False)
    after = announce(without, before.platforms)
    left = {
        "zone/bay/person": {"platform": "sensor"},
        "zone/bay/person/occupancy": {"platform": "binary_sensor"},
        "zone/bay/stra_e": {"platform": "sensor"},
        "zone/bay/stra_e/occupancy": {"platform": "binary_sensor"},
        "snapshot": {"platform": "image"},
    }
    assert components(after) == components(announce(without)) | left
    assert after.platforms == before.platforms
    assert announce(without, after.platforms) == after  # for as long as it takes
    assert components(announce(DOCK, after.platforms)) == components(before)


IDS = st.text("ab_-", min_size=1, max_size=4)


@settings(deadline=None)
@given(st.sets(st.tuples(IDS, IDS), max_size=8))
@example({("a_b", "c"), ("a", "b_c")})
@example({("a_", "b"), ("a", "_b")})
def test_no_two_cameras_share_a_topic(cameras: set[tuple[str, str]]):
    assert len({discovery_topic("homeassistant", *names) for names in cameras}) == len(cameras)


@settings(deadline=None)
@given(
    st.lists(IDS, min_size=1, max_size=4, unique=True),
    st.lists(IDS, max_size=4, unique=True),
    st.lists(IDS, max_size=4, unique=True),
)
def test_no_two_components_share_an_id(slugs: list[str], zones: list[str], lines: list[str]):
    device = CameraDevice("dock", {f"label {slug}": slug for slug in slugs}, zones, lines, True)
    found = components(announce(device))
    assert len(found) == 4 + len(slugs) * (2 + 2 * len(zones) + 2 * len(lines))
    assert len({component["unique_id"] for component in found.values()}) == len(found)


@pytest.mark.parametrize("component_id", ["connectivity", "status", "enabled"])
def test_what_speaks_of_a_camera_that_is_off_needs_the_node_alone(component_id: str):
    availability = components(announce(DOCK))[component_id]["availability"]
    assert [entry["topic"] for entry in availability] == ["rfdetr-edge/dock-7/status"]
