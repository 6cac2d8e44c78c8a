"""The configuration file: what may stand in it, and what is wrong with it."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from edge.capture.address import Address

Fraction = Annotated[float, Field(ge=0, le=1)]
Point = tuple[Fraction, Fraction]
Polygon = Annotated[list[Point], Field(min_length=3)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSettings(Section):
    id: str | None = None
    path: Path | None = None
    type: str | None = None
    labels: Literal["coco"] | list[str] | None = None
    confidence: Fraction | dict[str, Fraction] = 0.5
    device: str = "auto"
    precision: Literal["auto", "fp16", "bf16", "fp32"] = "auto"
    resize: Literal["plain", "antialias"] = "plain"
    max_detections: int = Field(100, ge=1)


class ZoneSettings(Section):
    id: str
    polygon: Polygon
    min_overlap: Fraction = 0.3
    hysteresis: Fraction = 0.05
    dwell_s: float = Field(0, ge=0)


class LineSettings(Section):
    id: str
    from_: Point = Field(alias="from")
    to: Point


class CameraSettings(Section):
    id: str
    source: Address
    transport: Literal["tcp", "udp"] = "tcp"
    decoder: Literal["auto", "software", "nvidia"] = "auto"
    open_timeout_s: float = Field(5, gt=0)
    read_timeout_s: float = Field(3, gt=0)
    max_fps: float | None = None
    max_frame_age_ms: float = Field(500, gt=0)
    classes: list[str] | None = None
    min_area_fraction: Fraction = 0
    ignore: list[Polygon] = []
    zones: list[ZoneSettings] = []
    lines: list[LineSettings] = []
    frames: Literal["all", "changes", "off"] = "all"
    frame_max_fps: float | None = None
    geometry: Literal["none", "polygon", "rle", "both"] = "none"
    snapshot: Literal["none", "events"] | float = "none"


class TrackingSettings(Section):
    confirm_frames: int = Field(3, ge=1)
    lost_after_s: float = Field(2.0, gt=0)
    update_interval_s: float = Field(1.0, gt=0)


class TlsSettings(Section):
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


class HomeAssistantSettings(Section):
    enabled: bool = False
    prefix: str = "homeassistant"


class MqttSettings(Section):
    host: str = "127.0.0.1"
    port: int = Field(1883, ge=1, le=65535)
    client_id: str = ""  # filled in from the node: rfdetr-edge-<node>
    username: str | None = None
    password_file: Path | None = None
    tls: bool | TlsSettings = False
    keepalive_s: int = Field(30, ge=1)
    base_topic: str = "rfdetr-edge"
    max_payload_bytes: int = Field(8192, ge=512)
    home_assistant: HomeAssistantSettings = HomeAssistantSettings()


class SpoolSettings(Section):
    path: Path | None = None
    max_bytes: int = 67108864
    max_age_s: float = 86400
    replay_rate: float = 200


class HttpSettings(Section):
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    token_file: Path | None = None
    username: str | None = None
    password_file: Path | None = None
    tls: TlsSettings | None = None


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Config(Section):
    node: str
    state_dir: Path
    cache_dir: Path
    model: ModelSettings
    cameras: list[CameraSettings]
    tracking: TrackingSettings = TrackingSettings()
    mqtt: MqttSettings = MqttSettings()
    spool: SpoolSettings = SpoolSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
