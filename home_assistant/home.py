"""A real Home Assistant with nothing but its MQTT integration, and without a page."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

import homeassistant.helpers.device_registry as dr
import homeassistant.helpers.entity_registry as er
from broker import DEADLINE_S, HOST, Broker, free_port
from homeassistant import bootstrap, loader
from homeassistant.config_entries import ConfigEntries
from homeassistant.core import HomeAssistant, State
from homeassistant.setup import async_setup_component


class Complaints(logging.Handler):
    """What Home Assistant's MQTT integration warned about."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        logging.getLogger("homeassistant.components.mqtt").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


class Home:
    """A running Home Assistant; its registries live in ``folder`` and outlast it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "configuration.yaml").touch()
        self._folder = folder

    async def start(self) -> None:
        """As the daemon of Home Assistant does, but with nothing beside the MQTT integration."""
        self.hass = hass = HomeAssistant(str(self._folder))
        hass.config.skip_pip = True
        loader.async_setup(hass)
        port = free_port()
        config = {"http": {"server_host": [HOST], "server_port": port}}
        hass.config_entries = ConfigEntries(hass, config)
        await loader.async_get_custom_components(hass)
        await bootstrap.async_load_base_functionality(hass)
        for name in ("homeassistant", "persistent_notification"):
            await async_setup_component(hass, name, config)
        await bootstrap.async_process_ha_core_config(hass, {})
        for name in ("http", "mqtt"):
            if not await async_setup_component(hass, name, config):
                raise RuntimeError(f"Home Assistant could not set up {name}")
        await hass.async_start()
        self.url = f"http://{HOST}:{port}"

    async def connect(self, broker: Broker) -> None:
        """Set the MQTT integration up by its own dialogue, as a person does."""
        flows = self.hass.config_entries.flow
        form = await flows.async_init("mqtt", context={"source": "user"})
        answers: dict[str, object] = {"broker": HOST, "port": broker.port}
        if "other_settings" in form["data_schema"].schema:  # newer ones ask for certificates too
            answers["other_settings"] = {"set_client_cert": False, "set_ca_cert": "off"}
        result = await flows.async_configure(form["flow_id"], answers)
        if result["type"] != "create_entry":
            raise RuntimeError(f"Home Assistant did not accept the broker: {result}")
        await self.hass.async_block_till_done()

    async def stop(self) -> None:
        await self.hass.async_stop(force=True)

    async def until(self, what: Callable[[], bool]) -> bool:
        """Whether it came true within the deadline."""
        deadline = time.monotonic() + DEADLINE_S
        while not what():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    def entity_id(self, platform: str, unique_id: str) -> str | None:
        return er.async_get(self.hass).async_get_entity_id(platform, "mqtt", unique_id)

    def state(self, platform: str, unique_id: str) -> State | None:
        entity_id = self.entity_id(platform, unique_id)
        return None if entity_id is None else self.hass.states.get(entity_id)

    def entity_ids(self) -> list[str]:
        """Every entity that the MQTT integration has registered."""
        entries = er.async_get(self.hass).entities.values()
        return sorted(entry.entity_id for entry in entries if entry.platform == "mqtt")

    def device(self, identifier: str) -> dr.DeviceEntry | None:
        mqtt = self.hass.config_entries.async_entries("mqtt")[0]
        devices = dr.async_entries_for_config_entry(dr.async_get(self.hass), mqtt.entry_id)
        return next((each for each in devices if ("mqtt", identifier) in each.identifiers), None)
