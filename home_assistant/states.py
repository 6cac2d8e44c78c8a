"""One announced camera: its entities, and how they follow its topics."""

import json
from importlib import import_module

import aiohttp
import yaml
from homeassistant.core import ServiceCall
from homeassistant.setup import async_setup_component
from trial import CAMERA, DEVICE, DOCUMENT, TOPICS, Trial

from edge.publish.homeassistant import Announcement

JPEG = b"\xff\xd8\xff\xe0 a picture \xff\xd9"


def schemas(trial: Trial, announcement: Announcement) -> None:
    """As Home Assistant reads it, but where that drops unknown keys, this raises."""
    mqtt = "homeassistant.components.mqtt"
    message = json.loads(announcement.payload)
    import_module(f"{mqtt}.schemas").DEVICE_DISCOVERY_SCHEMA(message)
    shared = {key: message[key] for key in ("device", "availability", "availability_mode")}
    for component in message["components"].values():
        platform = import_module(f"{mqtt}.{component.pop('platform')}")
        platform.PLATFORM_SCHEMA_MODERN({**shared, **component})
    trial.says("the schemas of device and platforms take it, and know every key", True)


async def entities(trial: Trial, announcement: Announcement) -> None:
    trial.announce(announcement)
    count = len(announcement.platforms)
    await trial.home.until(lambda: len(trial.home.entity_ids()) == count)
    await trial.home.hass.async_block_till_done()
    for entity_id in trial.home.entity_ids():
        print(f"      {entity_id}")
    trial.says(
        f"one message makes {count} entities, each with an id of its own",
        all(trial.state(component_id) for component_id in announcement.platforms)
        and len(trial.home.entity_ids()) == count,
    )
    device = trial.home.device(DEVICE)
    trial.says(
        "and one device with name, model and version",
        device is not None
        and (device.name, device.manufacturer) == ("dock-7 dock", "rfdetr-edge")
        and (device.model, device.sw_version) == ("rfdetr-seg-preview", "0.1.0"),
    )
    trial.says(
        "nothing is available before node and camera have spoken",
        {trial.state(key) for key in announcement.platforms} == {"unavailable"},
    )


async def states(trial: Trial) -> None:
    publish = trial.broker.publish
    publish(TOPICS.count(CAMERA, "person"), "2")
    publish(TOPICS.zone(CAMERA, "bay", "person"), "0")
    publish(TOPICS.count(CAMERA, "stra_e"), "None")
    publish(TOPICS.line(CAMERA, "gate", "person"), '{"in": 3, "out": 1}')
    publish(TOPICS.enabled_state(CAMERA), "ON")
    publish(TOPICS.camera_status(CAMERA), "online")
    publish(TOPICS.status, "online")
    await trial.shows(
        "count, zone, occupancy and line follow their topics",
        {
            "count/person": "2",
            "count/person/occupancy": "on",
            "zone/bay/person": "0",
            "zone/bay/person/occupancy": "off",
            "line/gate/person/in": "3",
            "line/gate/person/out": "1",
            "connectivity": "on",
            "enabled": "on",
        },
    )
    await trial.shows(
        "a count of None is unknown, and so is occupancy",
        {"count/stra_e": "unknown", "count/stra_e/occupancy": "unknown"},
    )
    publish(TOPICS.count(CAMERA, "person"), "12")
    publish(TOPICS.zone(CAMERA, "bay", "person"), "1")
    publish(TOPICS.line(CAMERA, "gate", "person"), '{"in": 4, "out": 1}')
    await trial.shows(
        "and they change",
        {"count/person": "12", "zone/bay/person/occupancy": "on", "line/gate/person/in": "4"},
    )


async def availability(trial: Trial) -> None:
    for node, camera, available in (
        ("online", "degraded", True),
        ("online", "offline", False),
        ("online", "online", True),
        ("online", "disabled", False),
        ("offline", "online", False),
        ("stopped", "online", False),
        ("stopped", "offline", False),
        ("online", "online", True),
    ):
        trial.broker.publish(TOPICS.status, node)
        trial.broker.publish(TOPICS.camera_status(CAMERA), camera)
        up, delivers = node == "online", camera in ("online", "degraded")
        await trial.shows(
            f"node {node}, camera {camera}",
            {
                "count/person": "12" if available else "unavailable",
                "zone/bay/person/occupancy": "on" if available else "unavailable",
                "line/gate/person/in": "4" if available else "unavailable",
                "status": camera if up else "unavailable",
                "connectivity": ("on" if delivers else "off") if up else "unavailable",
                "enabled": "on" if up else "unavailable",
            },
        )


async def switch(trial: Trial) -> None:
    trial.broker.publish(TOPICS.camera_status(CAMERA), "disabled")
    await trial.shows("a disabled camera can be switched", {"status": "disabled", "enabled": "on"})
    entity_id = trial.home.entity_id("switch", f"{DEVICE}/enabled")
    for service, payload in (("turn_off", "OFF"), ("turn_on", "ON")):
        with trial.broker.listen(TOPICS.enabled_set(CAMERA)) as listener:
            await trial.home.hass.services.async_call(
                "switch", service, {"entity_id": entity_id}, blocking=True
            )
            heard = await listener.first()
        trial.says(
            f"{service} sends {payload} at QoS 1, not retained", heard == ["1", "0", payload]
        )
    trial.broker.publish(TOPICS.enabled_state(CAMERA), "OFF")
    await trial.shows("the switch shows what the camera says", {"enabled": "off"})
    trial.broker.publish(TOPICS.enabled_state(CAMERA), "ON")
    trial.broker.publish(TOPICS.camera_status(CAMERA), "online")
    await trial.shows("and is on again", {"enabled": "on", "status": "online"})


async def picture(trial: Trial) -> None:
    trial.broker.publish(TOPICS.snapshot(CAMERA), JPEG, retain=False)
    await trial.home.until(lambda: trial.state("snapshot") not in ("unknown", "unavailable"))
    state = trial.home.state("image", f"{DEVICE}/snapshot")
    assert state is not None
    url = trial.home.url + state.attributes["entity_picture"]
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        body = await response.read()
    trial.says(
        "the picture is served as it was published",
        (response.content_type, body) == ("image/jpeg", JPEG),
    )


async def automation(trial: Trial) -> None:
    """The example of our document, on a gate that counts how often it is opened."""
    opened: list[ServiceCall] = []
    trial.home.hass.services.async_register("cover", "open_cover", opened.append)
    example = DOCUMENT.read_text(encoding="utf-8").split("```yaml\nautomation:")[1].split("```")[0]
    config = yaml.safe_load(f"automation:{example}")
    assert await async_setup_component(trial.home.hass, "automation", config)

    occupancy = "zone/bay/person/occupancy"
    count = TOPICS.zone(CAMERA, "bay", "person")
    for shown, topic, payload in (
        ("unavailable", TOPICS.status, "offline"),
        ("on", TOPICS.status, "online"),
        ("unknown", count, "None"),
        ("on", count, "2"),
    ):
        trial.broker.publish(topic, payload)
        assert await trial.home.until(lambda shown=shown: trial.state(occupancy) == shown)
    await trial.home.hass.async_block_till_done()
    trial.says("the documented automation opens no gate on news of nobody knows what", not opened)
    for shown, payload in (("off", "0"), ("on", "1")):
        trial.broker.publish(count, payload)
        assert await trial.home.until(lambda shown=shown: trial.state(occupancy) == shown)
    await trial.home.hass.async_block_till_done()
    trial.says("and opens it for somebody who comes", len(opened) == 1)
