"""Which machine, which system, which Python, and whether this package is complete."""

import platform
import re
from collections.abc import Iterator
from importlib import metadata

from edge.doctor.finding import Finding, fail, ok, warn
from edge.doctor.machine import Machine
from edge.jetson import sysfs
from edge.version import __version__

DISTRIBUTION = "rfdetr-edge"
_JETPACK = {32: "4", 34: "5", 35: "5", 36: "6", 38: "7", 39: "7"}  # by L4T's first number
_JETPACK_6 = {"36.2": "6.0 (preview)", "36.3": "6.0", "36.4": "6.1 or 6.2"}


def board(machine: Machine) -> Iterator[Finding]:
    if not machine.jetson:
        where = "a container, " if machine.container else ""
        yield ok(
            "board", f"not a Jetson: {where}{platform.machine()}, what is about one is left out"
        )
        return
    model = sysfs.board_model(machine.root)
    if model is None:
        yield warn(
            "board",
            "a Jetson that does not say which one",
            "in a container, let it see /proc/device-tree (--runtime nvidia)",
        )
    elif "Orin" not in model:
        yield warn(
            "board",
            f"{model}: untested, rfdetr-edge is made for Orin boards",
            "use an Orin Nano, Orin NX or AGX Orin, or tell us how it went",
        )
    else:
        yield ok("board", model)


def release(machine: Machine) -> Iterator[Finding]:
    if not machine.jetson:
        return
    l4t = sysfs.l4t_release(machine.root)
    if l4t is None:
        yield warn(
            "jetpack",
            "unknown: /etc/nv_tegra_release is not there or not readable",
            "in a container, mount it: -v /etc/nv_tegra_release:/etc/nv_tegra_release:ro",
        )
        return
    jetpack = jetpack_of(l4t)
    if jetpack.startswith("6."):
        yield ok("jetpack", f"JetPack {jetpack}, L4T {l4t}")
    else:
        yield warn(
            "jetpack",
            f"JetPack {jetpack}, L4T {l4t}: untested, rfdetr-edge is made for JetPack 6.0 to 6.2",
            "flash JetPack 6.1 or 6.2 (L4T 36.4)",
        )


def jetpack_of(l4t: str) -> str:
    """JetPack's version by that of L4T: ``36.4.3`` is ``6.2``, as far as the two are known."""
    numbers = [int(number) for number in re.findall(r"\d+", l4t)]
    first_two = ".".join(str(number) for number in numbers[:2])
    if first_two == "36.4" and len(numbers) > 2:
        return "6.2" if numbers[2] >= 3 else "6.1"
    return _JETPACK_6.get(first_two) or _JETPACK.get(numbers[0], "of unknown version")


def python(machine: Machine) -> Iterator[Finding]:
    version = f"{machine.python[0]}.{machine.python[1]}"
    if not (3, 10) <= machine.python <= (3, 13):
        yield warn(
            "python",
            f"{version} is untested, rfdetr-edge is made for 3.10 to 3.13",
            "make the virtual environment with one of those",
        )
    elif machine.jetson and machine.python != (3, 10):
        yield warn(
            "python",
            f"{version} on a Jetson: JetPack's OpenCV and NVIDIA's torch are built for 3.10 alone",
            "python3.10 -m venv --system-site-packages /opt/rfdetr-edge, and install anew",
        )
    else:
        yield ok("python", version)


def packages() -> Iterator[Finding]:
    """What the package itself needs; not torch and OpenCV, which have checks of their own."""
    try:
        required = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        yield warn(
            "packages",
            "rfdetr-edge is not installed, it runs from its source folder",
            "pip install it, so that what it needs comes with it",
        )
        return
    names = [re.split(r"[^\w.-]", text)[0] for text in required if "extra ==" not in text]
    missing = [name for name in names if not _installed(name)]
    if missing:
        yield fail(
            "packages",
            f"missing: {', '.join(missing)}",
            f"pip install {' '.join(missing)}",
        )
    else:
        yield ok("packages", f"rfdetr-edge {__version__} and the {len(names)} packages it needs")


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
