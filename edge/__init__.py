"""rfdetr-edge: RF-DETR-Seg on a live camera, as a daemon and as a library."""

from typing import TYPE_CHECKING, Any

from edge.version import __version__

if TYPE_CHECKING:
    from edge.automodel import AutoModel

__all__ = ["AutoModel", "__version__"]


def __getattr__(name: str) -> Any:
    # Late, so that `import edge` and the command line do not wait for torch.
    if name == "AutoModel":
        from edge.automodel import AutoModel

        return AutoModel
    raise AttributeError(f"module 'edge' has no attribute {name!r}")
