"""What is reported, and as what: the model, the cameras, and how this run introduces itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.camera_report import Desk
from edge.capture.camera import Camera
from edge.config import Config
from edge.outlets import Outlets
from edge.version import __version__

if TYPE_CHECKING:
    from edge.rfdetr.checkpoint import Checkpoint


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
    def of(
        cls,
        outlets: Outlets,
        config: Config,
        session: str,
        checkpoint: "Checkpoint",
        cameras: Sequence[Camera],
        before: "Scope | None" = None,
    ) -> "Scope":
        """``before``: the scope that this one follows in the session."""
        info = {
            "version": __version__,
            "session": session,
            "node": config.node,
            "model": checkpoint.variant.name,
            "checkpoint_sha256": checkpoint.sha256,
            "labels": [name for name in checkpoint.names if name is not None],
        }
        desk = Desk.of(
            outlets, config, session, checkpoint, None if before is None else before.desk
        )
        return cls(desk, cameras, info)
