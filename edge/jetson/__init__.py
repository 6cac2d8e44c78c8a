"""NVIDIA Jetson: is this one, what does it say of itself, and how to spare it."""

from pathlib import Path


def is_jetson(root: Path = Path("/")) -> bool:
    """True on NVIDIA Jetson (any JetPack), also inside a container there."""
    if (root / "etc/nv_tegra_release").exists():
        return True
    try:
        compatible = (root / "proc/device-tree/compatible").read_bytes()
    except OSError:
        return False
    return b"nvidia,tegra" in compatible
