"""What the steps of the check share."""

from collections.abc import Mapping
from pathlib import Path

from broker import Broker
from home import Complaints, Home

from edge.publish.homeassistant import Announcement, CameraDevice, discovery
from edge.publish.topics import Topics

REPOSITORY = Path(__file__).parents[1]
DOCUMENT = REPOSITORY / "docs" / "home-assistant.md"
GOLDEN = REPOSITORY / "tests" / "publish" / "homeassistant_device.json"

PREFIX, NODE, CAMERA = "homeassistant", "dock-7", "dock"
DEVICE = "rfdetr-edge_dock-7_dock"
TOPICS = Topics("rfdetr-edge", NODE)
LABELS = {"person": "person", "Straße": "stra_e"}


def announce(
    *labels: str,
    camera: str = CAMERA,
    zones: tuple[str, ...] = ("bay",),
    after: Announcement | None = None,
) -> Announcement:
    slugs = LABELS | {"car": "car"}
    device = CameraDevice(camera, {label: slugs[label] for label in labels}, zones, ["gate"], True)
    announced = {} if after is None else after.platforms
    return discovery(TOPICS, PREFIX, NODE, "0.1.0", "rfdetr-seg-preview", device, announced)


class Trial:
    """One broker, one Home Assistant, and what has been found out about them."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        self.broker = broker
        self.home = Home(folder / "config")
        self.complaints = Complaints()
        self.failed: list[str] = []
        self.count = 0
        self.platforms: dict[str, str] = {}

    def says(self, claim: str, true: bool) -> None:
        self.count += 1
        print(f"{'ok  ' if true else 'FAIL'}  {claim}", flush=True)
        if not true:
            self.failed.append(claim)

    def announce(self, announcement: Announcement) -> None:
        self.platforms |= announcement.platforms
        self.broker.publish(announcement.topic, announcement.payload)

    def state(self, component_id: str) -> str | None:
        """The state as Home Assistant shows it; None where there is no such entity."""
        state = self.home.state(self.platforms[component_id], f"{DEVICE}/{component_id}")
        return None if state is None else str(state.state)

    async def shows(self, claim: str, states: Mapping[str, str | None]) -> None:
        """Waits for the states of these components; None: there is no such entity."""

        def seen() -> dict[str, str | None]:
            return {component_id: self.state(component_id) for component_id in states}

        true = await self.home.until(lambda: seen() == states)
        self.says(claim if true else f"{claim}: {seen()}", true)

    async def settled(self) -> None:
        """Home Assistant has dealt with all that was published before this call."""
        now = "offline" if self.state("status") == "online" else "online"
        self.broker.publish(TOPICS.camera_status(CAMERA), now)
        assert await self.home.until(lambda: self.state("status") == now)
        await self.home.hass.async_block_till_done()
