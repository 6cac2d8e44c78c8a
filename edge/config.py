"""The configuration file: what may stand in it, and what is wrong with it."""

import os
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from edge.config_file import KeyPath, read_document
from edge.config_problems import explain, problem_lines
from edge.config_values import (
    AnyPath,
    CameraId,
    Confidence,
    Device,
    ExistingFile,
    Fraction,
    Host,
    Labels,
    ModelName,
    Names,
    Point,
    Polygon,
    Positive,
    SecretFile,
    Slug,
    Snapshot,
    Source,
    Text,
    Topic,
    by_shape,
    read_secret,
)
from edge.config_warnings import config_warnings
from edge.folders import default_cache_dir, default_state_dir

__all__ = [
    "CameraSettings",
    "Config",
    "ConfigError",
    "HomeAssistantSettings",
    "HttpSettings",
    "LineSettings",
    "Loaded",
    "LogSettings",
    "ModelSettings",
    "MqttSettings",
    "SpoolSettings",
    "TlsSettings",
    "TrackingSettings",
    "ZoneSettings",
    "load_config",
    "read_secret",
]


class ConfigError(Exception):
    """A configuration that is refused; ``problems`` has one line for each thing wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Loaded(NamedTuple):
    config: "Config"
    warnings: list[str]  # lines like those of the problems


def load_config(
    file: Path,
    environ: Mapping[str, str] = os.environ,
    hostname: str | None = None,
) -> Loaded:
    """Read and check ``file``. Neither model, camera nor network is opened.

    ``hostname`` (None: the machine's) names the node where the file does not. Raises
    ``ConfigError`` with every problem there is, in the order of the file.
    """
    try:
        document = read_document(file, environ)
    except ValueError as error:
        raise ConfigError([f"{file}: {error}"]) from None
    values = document.values
    defaults = {
        "node": _default_node(socket.gethostname() if hostname is None else hostname),
        "state_dir": default_state_dir(environ),
        "cache_dir": default_cache_dir(environ),
    }
    for key, default in defaults.items():
        if values.get(key) is None:
            values[key] = default
    problems = [*document.problems, *_repeated_ids(values)]
    try:
        config = Config.model_validate(values, context={"folder": file.absolute().parent})
    except ValidationError as error:
        wrong = explain(error, Config)
        problems += [(path, what) for path, what in wrong if path not in document.unusable]
    else:
        if not problems:
            return Loaded(config, problem_lines(str(file), config_warnings(config), document))
    raise ConfigError(problem_lines(str(file), problems, document))


class Section(BaseModel):
    """A mapping of the file. A key without a value (null) counts as left out."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_left_out(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        known = {field.alias or name for name, field in cls.model_fields.items()}
        return {key: v for key, v in values.items() if v is not None or key not in known}


class ModelSettings(Section):
    id: ModelName | None = None
    type: ModelName | None = None
    path: ExistingFile | None = Field(default=None, validate_default=True)
    labels: Labels | None = None
    confidence: Confidence = 0.5  # a mapping always has its "default"
    device: Device = "auto"
    precision: Literal["auto", "fp16", "bf16", "fp32"] = "auto"
    resize: Literal["plain", "antialias"] = "plain"
    max_detections: int = Field(default=100, ge=1)

    @field_validator("path")
    @classmethod
    def _id_or_path(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        shipped = path is None and info.data.get("type") == "rfdetr-seg-demo"
        if not shipped and "id" in info.data and (path is None) == (info.data["id"] is None):
            raise ValueError(
                "either id or path is required" if path is None else "cannot stand beside id"
            )
        return path

    @field_validator("type")
    @classmethod
    def _type_of_id(cls, type_: str | None, info: ValidationInfo) -> str | None:
        if type_ is not None and info.data.get("id") not in (None, type_):
            raise ValueError("contradicts id (leave it out)")
        return type_


_HYSTERESIS = 0.05


class ZoneSettings(Section):
    id: Slug
    polygon: Polygon
    min_overlap: Fraction = 0.3
    hysteresis: Fraction = Field(default=_HYSTERESIS, validate_default=True)
    dwell_s: float = Field(default=0, ge=0)

    @field_validator("hysteresis")
    @classmethod
    def _below_overlap(cls, hysteresis: float, info: ValidationInfo) -> float:
        min_overlap: float = info.data.get("min_overlap", 1)
        if hysteresis == _HYSTERESIS:  # the default, which fits whatever is asked for
            return min(hysteresis, min_overlap)
        if hysteresis > min_overlap:
            raise ValueError("must not be greater than min_overlap")
        return hysteresis


class LineSettings(Section):
    id: Slug
    from_: Point = Field(alias="from")
    to: Point

    @field_validator("to")
    @classmethod
    def _has_length(cls, to: Point, info: ValidationInfo) -> Point:
        if to == info.data.get("from_"):
            raise ValueError("must be another point than from")
        return to


class CameraSettings(Section):
    id: CameraId
    source: Source
    transport: Literal["tcp", "udp"] = "tcp"
    decoder: Literal["auto", "software", "nvidia"] = "auto"
    # A capture thread that is stuck for more than 30 s is given up, so no wait may be longer.
    open_timeout_s: float = Field(default=5, gt=0, le=30)
    read_timeout_s: float = Field(default=3, gt=0, le=30)
    max_fps: Positive | None = None
    max_frame_age_ms: float = Field(default=500, gt=0)
    classes: Names | None = None
    min_area_fraction: Fraction = 0
    ignore: list[Polygon] = []
    zones: list[ZoneSettings] = []
    lines: list[LineSettings] = []
    frames: Literal["all", "changes", "off"] = "all"
    frame_max_fps: Positive | None = None
    geometry: Literal["none", "polygon", "rle", "both"] = "none"
    snapshot: Snapshot = "none"


class TrackingSettings(Section):
    confirm_frames: int = Field(default=3, ge=1)
    lost_after_s: float = Field(default=2.0, gt=0)
    update_interval_s: float = Field(default=1.0, gt=0)


class TlsSettings(Section):
    ca_file: ExistingFile | None = None
    cert_file: ExistingFile | None = None
    key_file: ExistingFile | None = Field(default=None, validate_default=True)

    @field_validator("key_file")
    @classmethod
    def _pair(cls, key_file: Path | None, info: ValidationInfo) -> Path | None:
        if "cert_file" in info.data and (key_file is None) != (info.data["cert_file"] is None):
            raise ValueError(
                "is required with cert_file" if key_file is None else "needs cert_file"
            )
        return key_file


class HomeAssistantSettings(Section):
    enabled: bool = False
    prefix: Topic = "homeassistant"


class MqttSettings(Section):
    host: Host = "127.0.0.1"
    port: int = Field(default=1883, ge=1, le=65535)
    client_id: str = ""  # filled in from the node: rfdetr-edge-<node>
    username: Text | None = None
    password_file: SecretFile | None = None
    tls: Annotated[
        Annotated[bool, Tag("<word>")] | Annotated[TlsSettings, Tag("<mapping>")],
        by_shape("must be true, false or a mapping of ca_file, cert_file and key_file"),
    ] = False
    keepalive_s: int = Field(default=30, ge=1, le=65535)
    base_topic: Topic = "rfdetr-edge"
    max_payload_bytes: int = Field(default=8192, ge=1024)  # an event needs as much
    home_assistant: HomeAssistantSettings = HomeAssistantSettings()

    @field_validator("password_file")
    @classmethod
    def _password_of_somebody(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if path is not None and info.data.get("username", "") is None:
            raise ValueError("needs username")
        return path


class SpoolSettings(Section):
    path: AnyPath | None = None  # filled in from state_dir: <state_dir>/spool.db
    max_bytes: int = Field(default=67108864, ge=1)
    max_age_s: float = Field(default=86400, gt=0)
    replay_rate: float = Field(default=200, gt=0)  # events a second

    @field_validator("path")
    @classmethod
    def _no_folder(cls, path: Path | None) -> Path | None:
        if path is not None and path.is_dir():
            raise ValueError("is a folder: name a file in it")
        return path


class HttpSettings(Section):
    host: Host = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    token_file: SecretFile | None = None
    username: Text | None = None
    password_file: SecretFile | None = Field(default=None, validate_default=True)
    tls: TlsSettings | None = None

    @field_validator("password_file")
    @classmethod
    def _pair(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if "username" in info.data and (path is None) != (info.data["username"] is None):
            raise ValueError("is required with username" if path is None else "needs username")
        return path

    @field_validator("tls")
    @classmethod
    def _certificate(cls, tls: TlsSettings | None) -> TlsSettings | None:
        if tls is not None and tls.cert_file is None:
            raise ValueError("needs cert_file and key_file")
        if tls is not None and tls.ca_file is not None:
            raise ValueError("has no use for ca_file: certificates of clients are not checked")
        return tls


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Config(Section):
    node: Slug
    state_dir: AnyPath
    cache_dir: AnyPath
    model: ModelSettings
    cameras: list[CameraSettings] = Field(min_length=1)
    tracking: TrackingSettings = TrackingSettings()
    mqtt: MqttSettings = Field(default=MqttSettings(), validate_default=True)
    spool: SpoolSettings = Field(default=SpoolSettings(), validate_default=True)
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()

    @field_validator("mqtt")
    @classmethod
    def _name_client(cls, mqtt: MqttSettings, info: ValidationInfo) -> MqttSettings:
        client_id = mqtt.client_id or f"rfdetr-edge-{info.data.get('node')}"
        return mqtt.model_copy(update={"client_id": client_id})

    @field_validator("spool")
    @classmethod
    def _place_spool(cls, spool: SpoolSettings, info: ValidationInfo) -> SpoolSettings:
        path = spool.path or info.data.get("state_dir", Path()) / "spool.db"
        return spool.model_copy(update={"path": path})


def _default_node(hostname: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "-", hostname.lower()) or "localhost"


def _repeated_ids(values: Any, above: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Ids that stand twice in one list; in the raw values, so that other mistakes hide none."""
    if not isinstance(values, dict):
        return
    for key in ("cameras", "zones", "lines"):
        seen: dict[str, int] = {}
        entries = values.get(key)
        for i, entry in enumerate(entries if isinstance(entries, list) else ()):
            path = (*above, key, i)
            yield from _repeated_ids(entry, path)
            name = entry.get("id") if isinstance(entry, dict) else None
            if isinstance(name, str) and seen.setdefault(name, i) != i:
                yield (*path, "id"), f"is the id of {key}[{seen[name]}] already"
