"""What comes and goes: components, Home Assistant itself, the camera."""

import homeassistant.helpers.device_registry as dr
from trial import CAMERA, DEVICE, PREFIX, TOPICS, Trial, announce

from edge.publish.homeassistant import BIRTH, Announcement, birth_topic

YARD = "rfdetr-edge_dock-7_yard"


async def withdrawal(trial: Trial, before: Announcement) -> Announcement:
    zone = [key for key in before.platforms if key.startswith("zone/")]
    trial.announce(announce("person", "Straße", zones=()))  # as if there had been none before
    await trial.settled()
    trial.says(
        "a component that is left out stays", all(trial.state(key) is not None for key in zone)
    )
    fewer = announce("person", "Straße", zones=(), after=before)
    trial.announce(fewer)
    await trial.shows("one that is withdrawn goes", dict.fromkeys(zone))
    await trial.settled()
    trial.says(
        "and only it",
        len(trial.home.entity_ids()) == len(before.platforms) - len(zone)
        and trial.broker.retained(fewer.topic) == fewer.payload,
    )
    again = announce("person", "Straße", after=fewer)
    trial.announce(again)
    await trial.shows("one that comes back is there", {"zone/bay/person/occupancy": "on"})
    more = announce("person", "Straße", "car", after=again)
    trial.broker.publish(TOPICS.count(CAMERA, "car"), "7")
    trial.announce(more)
    await trial.shows("a label on first sight", {"count/car": "7"})
    fewer = announce("person", after=more)
    trial.announce(fewer)
    await trial.shows("a label that goes", {"count/car": None, "count/stra_e/occupancy": None})
    return fewer


async def restart(trial: Trial, announcement: Announcement) -> None:
    """Home Assistant goes and comes back, to what the broker has kept."""
    await trial.settled()
    before = trial.home.entity_ids()
    await trial.home.stop()
    with trial.broker.listen(birth_topic(PREFIX)) as listener:
        await trial.home.start()
        heard = await listener.first()
    trial.says(f"having come up it says {BIRTH} on {birth_topic(PREFIX)}", heard[2:] == [BIRTH])
    trial.broker.publish(TOPICS.camera_status(CAMERA), "online")
    there = {
        "count/person": "12",
        "zone/bay/person": "1",
        "line/gate/person/in": "4",
        "enabled": "on",
        "status": "online",
    }
    await trial.shows("all is there again", there)
    trial.says("under the same entity ids", trial.home.entity_ids() == before)
    trial.announce(announcement)
    await trial.settled()
    trial.broker.publish(TOPICS.camera_status(CAMERA), "online")
    await trial.shows("announced once more, nothing changes", there)
    trial.says("not even the ids", trial.home.entity_ids() == before)


async def absence(trial: Trial, announcement: Announcement) -> None:
    """A zone and a whole camera leave while Home Assistant is away."""
    before = trial.home.entity_ids()
    yard = announce("person", camera="yard")
    trial.broker.publish(yard.topic, yard.payload)
    both = len(before) + len(yard.platforms)
    await trial.home.until(lambda: len(trial.home.entity_ids()) == both)
    await trial.home.hass.async_block_till_done()
    await trial.home.stop()
    trial.broker.publish(yard.topic, "")
    trial.announce(announce("person", zones=(), after=announcement))
    await trial.home.start()
    trial.broker.publish(TOPICS.camera_status(CAMERA), "degraded")
    await trial.shows("Home Assistant comes back", {"status": "degraded"})
    await trial.home.hass.async_block_till_done()
    trial.says(
        "what went while it was away stays registered, unavailable",
        len(trial.home.entity_ids()) == both
        and trial.home.device(YARD) is not None
        and trial.state("zone/bay/person") == "unavailable",
    )
    device = trial.home.device(YARD)
    assert device is not None
    dr.async_get(trial.home.hass).async_remove_device(device.id)
    await trial.home.hass.async_block_till_done()
    trial.says(
        "until a person deletes the device",
        trial.home.entity_ids() == before and trial.home.device(YARD) is None,
    )


async def removal(trial: Trial, announcement: Announcement) -> None:
    trial.announce(announcement)
    await trial.settled()
    device = trial.home.device(DEVICE)
    assert device is not None
    dr.async_get(trial.home.hass).async_remove_device(device.id)
    await trial.home.until(lambda: trial.broker.retained(announcement.topic) == b"")
    trial.says(
        "a device that a person deletes goes, and its announcement with it",
        trial.broker.retained(announcement.topic) == b"" and not trial.home.entity_ids(),
    )
    trial.announce(announcement)
    await trial.shows("and comes back with the next announcement", {"count/person": "12"})
    trial.broker.publish(announcement.topic, "")  # as Publisher.forget_retained does
    gone = await trial.home.until(lambda: not trial.home.entity_ids())
    await trial.home.hass.async_block_till_done()
    trial.says(
        "an empty message removes the camera: device and entities",
        gone and trial.home.device(DEVICE) is None,
    )
