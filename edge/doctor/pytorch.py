"""torch: is it there, is it the right build, and does the GPU answer it?"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from edge.doctor.access import gpu_trouble
from edge.doctor.board import jetpack_of
from edge.doctor.finding import Finding, fail, ok, warn
from edge.doctor.machine import Machine, ProbeFailed
from edge.jetson import sysfs

# As constraints/torch-jp6-cu126.txt has them; a test compares.
JETSON_INSTALL = "pip install --constraint constraints/torch-jp6-cu126.txt '.[torch-jp6-cu126]'"
JETSON_REPLACE = (
    "pip install --force-reinstall --no-deps --requirement constraints/torch-jp6-cu126.txt"
)
_OTHER_FIX = "install the torch extra of this machine (README, Install)"
_GPU_FIX = "install the extra for its CUDA, e.g. torch-cu126 (README, Install)"
_PROBE_S = 90.0  # importing torch from an SD card, and the first CUDA call, take their time

# Libraries that NVIDIA's wheels expect from the system, and the packages that have them.
_LIBRARIES = {
    "libcudss": "sudo apt-get install cudss (from NVIDIA's CUDA repository for Jetson)",
    "libcusparseLt": "sudo apt-get install cusparselt (from NVIDIA's CUDA repository for Jetson)",
    "libopenblas": "sudo apt-get install libopenblas0",
    "libcudnn": "sudo apt-get install nvidia-cudnn; JetPack 6.0 has cuDNN 8: upgrade to 6.1 or 6.2",
}
_RUNTIME_LIBRARIES = ("libcuda.so", "libnv", "libcublas", "libcudart", "libcufft", "libcurand")


def _jetson_fix(machine: Machine) -> str:
    """A container's packages are its image's."""
    return "build the image anew (docs/container.md)" if machine.container else JETSON_REPLACE


def torch_facts(machine: Machine, wanted: str) -> Mapping[str, Any]:
    """What the probe says; ``failed`` holds half a sentence where it could not answer."""
    try:
        return machine.probe(["torch", wanted], _PROBE_S)
    except ProbeFailed as error:
        return {"failed": str(error)}


def torch_build(machine: Machine, facts: Mapping[str, Any], wanted: str) -> Iterator[Finding]:
    """``wanted`` is the configuration's ``model.device``."""
    if "version" not in facts:
        yield _unusable(machine, facts)
        return
    version, cuda = facts["version"], facts["cuda"]
    if cuda is None:
        finding = _cpu_build(machine, version, wanted)
    elif not facts["available"]:
        finding = _no_cuda(machine, facts, wanted)
    elif facts.get("error"):
        finding = _broken_cuda(machine, facts)
    else:
        name, capability = facts["name"], facts["capability"]
        finding = ok("torch", f"{version}, CUDA {cuda}, {name} ({capability})")
    yield finding
    if facts.get("refusal") and finding.level != "fail":
        yield fail(
            "torch",
            f"the daemon would not start: {facts['refusal']}",
            "correct model.device, or unset that variable",
        )


def _unusable(machine: Machine, facts: Mapping[str, Any]) -> Finding:
    if facts.get("missing") == "torch":
        return fail("torch", "is not installed", JETSON_INSTALL if machine.jetson else _OTHER_FIX)
    fix = _jetson_fix(machine) if machine.jetson else _OTHER_FIX
    error = facts["failed"]
    library = re.match(r"(lib[\w+-]+)[\w.]*: cannot open shared object file", error)
    if library is None:
        return fail("torch", f"cannot be loaded: {error}", fix)
    if machine.jetson and library[0].startswith(_RUNTIME_LIBRARIES):
        fix = (
            "start the container with --runtime nvidia"
            if machine.container
            else "sudo apt-get install nvidia-jetpack"
        )
    elif library[1] in _LIBRARIES and machine.jetson:
        fix = _LIBRARIES[library[1]]
    return fail("torch", f"cannot be loaded: {error.partition(':')[0]} is missing", fix)


def _cpu_build(machine: Machine, version: str, wanted: str) -> Finding:
    if wanted == "cpu":
        if not machine.jetson:
            return ok("torch", f"{version}, on the CPU as configured")
        return warn(
            "torch",
            f"{version} is a CPU build, and the configuration asks for the CPU: very slow",
            f"{_jetson_fix(machine)}, and take model.device out",
        )
    if machine.jetson:
        return fail(
            "torch",
            f"{version} is a CPU build: it cannot use this board's GPU",
            _jetson_fix(machine),
        )
    if wanted != "auto":
        return fail("torch", f"{version} is a CPU build, but model.device is {wanted}", _GPU_FIX)
    if machine.nodes("dev/nvidia[0-9]*"):
        return warn(
            "torch", f"{version} is a CPU build, and this machine has an NVIDIA GPU", _GPU_FIX
        )
    return ok("torch", f"{version}, a CPU build, on a machine without an NVIDIA GPU")


def _no_cuda(machine: Machine, facts: Mapping[str, Any], wanted: str) -> Finding:
    version, cuda = facts["version"], facts["cuda"]
    driver = _dotted(facts.get("driver_cuda") or 0)
    gpu = machine.jetson or bool(machine.nodes("dev/nvidia[0-9]*"))
    if not gpu and wanted in ("auto", "cpu"):
        return ok("torch", f"{version}, built for CUDA {cuda}; no NVIDIA GPU here: on the CPU")
    if driver and _newer(cuda, driver):
        return fail(
            "torch",
            f"{version} is built for CUDA {cuda}, but the driver has CUDA {driver}",
            _driver_fix(machine, cuda),
        )
    trouble = gpu_trouble(machine) if machine.jetson else None
    if trouble is not None:
        return fail("torch", f"{version} finds no CUDA device: {trouble.what}", trouble.fix)
    said = facts.get("error") or "it does not say why"
    return fail(
        "torch",
        f"{version} finds no CUDA device: {said}",
        _jetson_fix(machine) if machine.jetson else "check the driver with nvidia-smi",
    )


def _broken_cuda(machine: Machine, facts: Mapping[str, Any]) -> Finding:
    version, error = facts["version"], facts["error"]
    if "no kernel image" in error:
        has = " ".join(facts.get("architectures", ())) or "others"
        return fail(
            "torch",
            f"{version} has no code for this GPU, only for {has}",
            _jetson_fix(machine) if machine.jetson else _GPU_FIX,
        )
    return fail(
        "torch",
        f"{version} sees the GPU, but computing on it fails: {error}",
        _jetson_fix(machine) if machine.jetson else "update the driver, then reinstall torch",
    )


def torch_and_release(machine: Machine, facts: Mapping[str, Any]) -> Iterator[Finding]:
    """JetPack 6.0 brings CUDA 12.2 and cuDNN 8; the wheels for CUDA 12.6 want 6.1's."""
    l4t = sysfs.l4t_release(machine.root)
    if machine.jetson and l4t and jetpack_of(l4t).startswith("6.0"):
        cuda = facts.get("cuda")
        if cuda and _newer(cuda, "12.2"):
            yield warn(
                "torch",
                f"CUDA {cuda} on JetPack 6.0, which has CUDA 12.2",
                "upgrade to JetPack 6.1 or 6.2",
            )


def torchvision(facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Each torch 2.N has its torchvision 0.(N + 15)."""
    if "version" not in facts:
        return
    if facts.get("torchvision_error"):
        yield warn(
            "torchvision",
            f"cannot be loaded: {facts['torchvision_error']}",
            _OTHER_FIX,
        )
        return
    version = facts.get("torchvision")
    if version is None:
        yield warn("torchvision", "is not installed", _OTHER_FIX)
        return
    major, minor = _numbers(facts["version"])
    if major == 2 and _numbers(version) != (0, minor + 15):
        yield warn(
            "torchvision",
            f"{version} does not belong to torch {facts['version']}, which needs 0.{minor + 15}",
            f"pip install 'torchvision==0.{minor + 15}.*' from where torch came from",
        )
    else:
        yield ok("torchvision", version)


def numpy_bridge(machine: Machine, facts: Mapping[str, Any]) -> Iterator[Finding]:
    """A torch built against numpy 1 cannot exchange arrays with numpy 2."""
    if "version" not in facts:
        return
    if facts.get("numpy_error"):
        yield fail(
            "numpy",
            f"torch cannot use it: {facts['numpy_error']}",
            "pip install 'numpy<2'" if machine.jetson else "pip install --upgrade numpy",
        )
    else:
        yield ok("numpy", f"{facts['numpy']}, torch can use it")


def checkpoint_safety(machine: Machine, facts: Mapping[str, Any]) -> Iterator[Finding]:
    """The floors of the torch extras: what a crafted checkpoint can do to an older torch."""
    if "version" not in facts:
        return
    version, cuda = facts["version"], facts["cuda"]
    if _numbers(version) < (2, 6):
        yield fail(
            "checkpoints",
            f"with torch {version} a checkpoint can run code (CVE-2025-32434)",
            _jetson_fix(machine) if machine.jetson else "install torch 2.10 or newer",
        )
    elif _numbers(version) < (2, 10):
        if machine.jetson or cuda in ("11.8", "12.4"):
            yield ok(
                "checkpoints",
                "use only your own: a crafted one can corrupt memory (CVE-2026-24747),"
                f" and there is no torch newer than {version} for this system",
            )
        else:
            yield warn(
                "checkpoints",
                f"with torch {version} a crafted checkpoint can corrupt memory (CVE-2026-24747)",
                "install torch 2.10 or newer, or use only checkpoints that you trust",
            )


def _driver_fix(machine: Machine, cuda: str) -> str:
    if machine.jetson:
        return _jetson_fix(machine)
    return f"update the NVIDIA driver to one for CUDA {cuda}, or install a torch for an older CUDA"


def _dotted(version: int) -> str:
    """CUDA's own form: 12060 is 12.6."""
    return f"{version // 1000}.{version % 1000 // 10}" if version else ""


def _newer(cuda: str, other: str) -> bool:
    return _numbers(cuda) > _numbers(other)


def _numbers(version: str) -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else (0, 0)
