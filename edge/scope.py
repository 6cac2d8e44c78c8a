"""What is reported, and as what: the model, the cameras, and how this run introduces itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge.camera_report import Desk
from edge.capture.camera import Camera
from edge.version import __version__


@dataclass(frozen=True, slots=True)
class Scope:
    """Holds from one result on until the next scope comes.

    ``info`` is the birth message without cameras and clock, which the reporter adds: what is to be
    said of them changes while we run.
    """

    desk: Desk
    cameras: Sequence[Camera]
    info: Mapping[str, object]

    @classmethod
    def of(cls, desk: Desk, node: str, sha256: str, cameras: Sequence[Camera]) -> "Scope":
        """``sha256`` is the checkpoint's."""
        info = {
            "version": __version__,
            "session": desk.session,
            "node": node,
            "model": desk.model,
            "checkpoint_sha256": sha256,
            "labels": [name for name in desk.names if name is not None],
        }
        return cls(desk, cameras, info)
