"""The kinds of values in the configuration file, each with its rule and its sentence."""

import math
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    ValidationInfo,
)

from edge.capture.address import Address, parse_address
from edge.config_problems import SHAPE
from edge.rfdetr.variants import VARIANTS
from edge.spelling import did_you_mean

LONGEST_ID = 64  # characters, as many as a host name has: ids stand in topics and in every message
_CAMERA_IDS_TAKEN = ("status", "info", "heartbeat")  # topics beside those of the cameras


def read_secret(path: Path) -> str:
    """The text of a ``*_file``, without the one line end that an editor adds.

    Raises ``OSError`` or ``UnicodeDecodeError``; a loaded configuration's files were readable.
    """
    return path.read_bytes().decode().removesuffix("\n").removesuffix("\r")


# Texts


def _slug(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9_-]+", text):
        raise ValueError("may consist of a-z, 0-9, _ and - only")
    if len(text) > LONGEST_ID:
        raise ValueError(f"must not be longer than {LONGEST_ID} characters")
    return text


def _camera_id(text: str) -> str:
    if text in _CAMERA_IDS_TAKEN:
        raise ValueError(f"must not be {', '.join(_CAMERA_IDS_TAKEN)}: those topics are taken")
    return text


def _topic(text: str) -> str:
    if text.startswith("$") or re.search(r"[+#\x00-\x1f\x7f]", text) or "" in text.split("/"):
        raise ValueError("must be an MQTT topic without +, #, empty levels or a $ in front")
    return text


def _host(text: str) -> str:
    if "/" in text or text.count(":") == 1 or not text.isprintable() or " " in text:
        raise ValueError("must be a host name or an address, without scheme and port")
    return text


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", text):
        hint = did_you_mean(text.partition(":")[0], ("auto", "cpu", "cuda"))
        raise ValueError(f"must be auto, cuda, cuda:N or cpu{hint}")
    return text


def _one_of(known: Iterable[str]) -> AfterValidator:
    words = tuple(known)

    def check(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of {', '.join(words)}{did_you_mean(text, words)}")
        return text

    return AfterValidator(check)


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _no_repeats(names: list[str]) -> list[str]:
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise ValueError(f"names '{repeated}' more than once")
    return names


Text = Annotated[str, Field(min_length=1)]
Slug = Annotated[str, AfterValidator(_slug)]
CameraId = Annotated[Slug, AfterValidator(_camera_id)]
Topic = Annotated[str, AfterValidator(_topic)]
Host = Annotated[Text, AfterValidator(_host)]
ModelName = Annotated[str, _one_of(VARIANTS)]
Device = Annotated[str, AfterValidator(_device)]
Names = Annotated[
    list[Annotated[str, AfterValidator(_not_blank)]],
    Field(min_length=1),
    AfterValidator(_no_repeats),
]


# Paths


def _from_folder(value: Any, info: ValidationInfo) -> Any:
    """Relative paths start at the configuration file's folder."""
    if not isinstance(value, str):
        return value
    if not value or "\0" in value:
        raise ValueError("must be a path")
    return (info.context or {}).get("folder", Path()) / value


def _existing(path: Path) -> Path:
    try:
        if not path.exists():
            raise ValueError(f"no such file: '{path}'")
        if not path.is_file():
            raise ValueError(f"is not a file: '{path}'")
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror}): '{path}'") from None
    if not os.access(path, os.R_OK):
        raise ValueError(f"may not be read by this user: '{path}'")
    return path


def _secret(path: Path) -> Path:
    try:
        empty = not read_secret(path)
    except UnicodeDecodeError:
        raise ValueError(f"is not UTF-8 text: '{path}'") from None
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror}): '{path}'") from None
    if empty:
        raise ValueError(f"is empty: '{path}'")
    return path


AnyPath = Annotated[Path, BeforeValidator(_from_folder)]
ExistingFile = Annotated[AnyPath, AfterValidator(_existing)]
SecretFile = Annotated[ExistingFile, AfterValidator(_secret)]


# Numbers, points, and values of more than one shape


def _encloses_area(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    x0, y0 = points[0]
    x1, y1 = max(points, key=lambda point: math.hypot(point[0] - x0, point[1] - y0))
    if all(abs((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)) < 1e-9 for x, y in points):
        raise ValueError("encloses no area: all its points lie on one line")
    return points


def _source(value: Any, info: ValidationInfo) -> Address:
    if isinstance(value, Address):
        return value
    if not isinstance(value, str):
        raise ValueError("must be text")
    return parse_address(value, (info.context or {}).get("folder", Path()))


def _shape(value: Any) -> str:
    if isinstance(value, dict | BaseModel):
        return "<mapping>"
    return "<list>" if isinstance(value, list | tuple) else "<word>"


def by_shape(message: str) -> Discriminator:
    return Discriminator(_shape, custom_error_type=SHAPE, custom_error_message=message)


def _coco(value: Any) -> Any:
    if value != "coco":
        raise ValueError(f"must be coco or a list of names{did_you_mean(str(value), ('coco',))}")
    return value


def _snapshot(value: Any) -> str | float:
    words = ("none", "events")
    if value in words:
        return str(value)
    try:
        period_s = float(value)
    except (TypeError, ValueError):
        hint = did_you_mean(str(value), words)
        raise ValueError(f"must be none, events or a period in seconds{hint}") from None
    if not 0 < period_s < math.inf:
        raise ValueError("must be a period of more than 0 seconds")
    return period_s


Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Point = tuple[Fraction, Fraction]
Polygon = Annotated[list[Point], Field(min_length=3), AfterValidator(_encloses_area)]
Source = Annotated[Address, PlainValidator(_source)]
Snapshot = Annotated[Literal["none", "events"] | float, PlainValidator(_snapshot)]
Labels = Annotated[
    Annotated[Literal["coco"], BeforeValidator(_coco), Tag("<word>")]
    | Annotated[Names, Tag("<list>")],
    by_shape("must be coco or a list of names"),
]
Confidence = Annotated[
    Annotated[Fraction, Tag("<word>")]
    | Annotated[
        dict[str, Fraction],
        AfterValidator(lambda by_label: {"default": 0.5, **by_label}),
        Tag("<mapping>"),
    ],
    by_shape("must be a number, or a mapping of labels to numbers"),
]
