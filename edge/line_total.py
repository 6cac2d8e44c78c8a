"""How often a line was crossed: what is counted, published and stored."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LineTotal:
    """How often objects of a label have crossed a line of a camera, over all sessions."""

    camera: str
    line: str
    label: str
    ins: int = 0
    outs: int = 0
