"""Where one frame's inference time went. (Free of torch, which takes a second to import.)"""

from typing import NamedTuple


class StageTimes(NamedTuple):
    """Seconds that one frame spent in each stage."""

    preprocess: float
    forward: float
    postprocess: float
