"""Which name belongs to which class row of a checkpoint.

A file with R class rows may name R or R - 1 classes, and what the spare row is has changed between
versions of the official trainer. What a file does not tell for certain is asked of the user.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Names = tuple[str | None, ...]  # by class row; None: a row that no object is meant to have

# COCO's 80 categories by category id; the ids between them were never used.
_COCO = {
    1: "person bicycle car motorcycle airplane bus train truck boat",
    10: "traffic_light fire_hydrant",
    13: "stop_sign parking_meter bench bird cat dog horse sheep cow elephant bear zebra giraffe",
    27: "backpack umbrella",
    31: "handbag tie suitcase frisbee skis snowboard sports_ball kite baseball_bat baseball_glove"
    " skateboard surfboard tennis_racket bottle",
    46: "wine_glass cup fork knife spoon bowl banana apple sandwich orange broccoli carrot hot_dog"
    " pizza donut cake chair couch potted_plant bed",
    67: "dining_table",
    70: "toilet",
    72: "tv laptop mouse remote keyboard cell_phone microwave oven toaster sink refrigerator",
    84: "book clock vase scissors teddy_bear hair_drier toothbrush",
}
COCO_ROWS = 91


def _coco_names() -> Names:
    names: list[str | None] = [None] * COCO_ROWS
    for first, words in _COCO.items():
        for i, word in enumerate(words.split()):
            names[first + i] = word.replace("_", " ")
    return tuple(names)


COCO_NAMES = _coco_names()
COCO_CLASSES = tuple(name for name in COCO_NAMES if name is not None)


class LabelError(ValueError):
    """The class names do not fit the checkpoint; the message says which to give."""


@dataclass(frozen=True, slots=True)
class CheckpointLabels:
    """What a checkpoint says of its classes.

    ``names`` the class names it holds (None: none), ``version`` of the trainer that wrote it as
    (major, minor) (None: not said), ``legacy`` True where its arguments are an argparse.Namespace
    (trainers before 1.6), ``num_classes`` as its arguments have it.
    """

    names: tuple[str, ...] | None = None
    version: tuple[int, int] | None = None
    legacy: bool = False
    num_classes: int | None = None

    def offset(self, rows: int) -> int | None:
        """The row of the first of ``rows`` - 1 names; None where the file leaves that open."""
        if self.version is not None and self.version >= (1, 9):
            return 0
        if self.legacy and self.num_classes == rows:
            return 1  # raw category ids: row 0 is the super-category of a Roboflow export
        return None


def name_rows(
    rows: int, checkpoint: CheckpointLabels, labels: Sequence[str] | Literal["coco"] | None
) -> Names:
    """The name of each of ``rows`` class rows, from the operator's ``labels`` or the file's own.

    Raises ``LabelError`` where the lengths do not fit, or where nothing tells which row is which.
    """
    if labels == "coco":
        return _coco_rows(rows)
    if isinstance(labels, str):
        raise LabelError(f"labels is {labels!r}: give coco, or a list of names")
    if labels is not None and len(set(labels)) < len(labels):
        raise LabelError("labels has a name twice")
    if labels is not None:
        return _named(rows, tuple(labels), checkpoint.offset(rows) or 0, "labels has")
    names = checkpoint.names
    if names is None or (names == COCO_CLASSES and rows == COCO_ROWS):
        if rows == COCO_ROWS:
            return COCO_NAMES
        raise LabelError(
            f"the checkpoint has {rows} class rows and no class names: give them as labels"
        )
    offset = checkpoint.offset(rows)
    if len(names) == rows - 1 and offset is None:
        shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        raise LabelError(
            f"the checkpoint names {len(names)} classes for its {rows} class rows and does not say"
            f" which row is the spare one: give {rows} labels, [background, {shown}] if it was"
            f" trained by rfdetr 1.8 or older on a COCO export of Roboflow, else"
            f" [{shown}, background]"
        )
    return _named(rows, names, offset or 0, "the checkpoint names")


def _coco_rows(rows: int) -> Names:
    if rows == COCO_ROWS:
        return COCO_NAMES
    raise LabelError(
        f"labels is coco, which needs {COCO_ROWS} class rows, but the checkpoint has {rows}"
    )


def _named(rows: int, names: tuple[str, ...], offset: int, who: str) -> Names:
    if len(names) == rows:
        return names
    if len(names) != rows - 1:
        raise LabelError(
            f"{who} {len(names)} classes, but the checkpoint has {rows} class rows:"
            f" give {rows} or {rows - 1} labels"
        )
    return (None, *names) if offset else (*names, None)
