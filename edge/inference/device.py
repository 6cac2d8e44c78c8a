"""Which device and precision to compute with, and whether its memory is full."""

import os
import re
import statistics
import time
from collections.abc import Mapping

import torch

from edge.jetson import is_jetson

PRECISIONS = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


class DeviceRefusedError(Exception):
    """The device asked for can never work here; the message says what to install."""

    exit_code = 78


class DeviceNotReadyError(Exception):
    """CUDA should work here but does not (yet): worth another start."""

    exit_code = 1


def choose_device(wanted: str, on_jetson: bool | None = None) -> torch.device:
    """The torch device for ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    ``auto`` is CUDA where torch has it, else the CPU; but never the CPU on a Jetson, where that
    means a torch without CUDA and a hundredth of the speed. Raises ``DeviceRefusedError``,
    ``DeviceNotReadyError``.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", wanted):
        raise DeviceRefusedError(f"device is {wanted!r}, not auto, cpu, cuda or cuda:N")
    if wanted == "cpu":
        return torch.device("cpu")
    built_with_cuda = torch.version.cuda is not None
    jetson = is_jetson() if on_jetson is None else on_jetson
    if jetson:
        _check_allocator(os.environ)
    if torch.cuda.is_available():
        device = torch.device("cuda:0" if wanted in ("auto", "cuda") else wanted)
        if device.index >= torch.cuda.device_count():
            raise DeviceRefusedError(
                f"device {wanted} does not exist: this machine has {torch.cuda.device_count()}"
            )
        return device
    if built_with_cuda and (jetson or wanted != "auto"):
        raise DeviceNotReadyError(
            f"torch {torch.__version__} is built for CUDA, but finds no CUDA device: is the driver"
            " loaded, and may this user open the GPU (groups video and render)?"
        )
    if wanted != "auto":
        raise DeviceRefusedError(
            f"device is {wanted}, but torch {torch.__version__} is a build without CUDA"
        )
    if jetson:
        raise DeviceRefusedError(
            f"torch {torch.__version__} is a build without CUDA: install the Jetson one"
            " (rfdetr-edge[torch-jp6-cu126], see the README), or set device: cpu"
        )
    return torch.device("cpu")


def _check_allocator(environment: Mapping[str, str]) -> None:
    """Two ways of allocating that do not work with the memory that a Jetson shares with its GPU."""
    for variable in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        options = environment.get(variable, "").replace(" ", "")
        for option in ("expandable_segments:True", "backend:cudaMallocAsync"):
            if option in options:
                raise DeviceRefusedError(f"{variable} has {option}, which fails on a Jetson")


def choose_precision(wanted: str, device: torch.device) -> torch.dtype:
    """The dtype for ``auto`` (fp16 on CUDA, fp32 on a CPU), ``fp16``, ``bf16`` or ``fp32``."""
    if wanted == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    return PRECISIONS[wanted]


def speed_up(precision: torch.dtype, side: int = 512, turns: int = 5) -> float:
    """How many times faster than in float32 this CPU multiplies matrices in ``precision``.

    Takes some 20 ms. Below 1 on a CPU without instructions for it.
    """
    seconds = {}
    for dtype in (torch.float32, precision):
        a = torch.ones(side, side, dtype=dtype)
        times = []
        for _ in range(turns):
            start = time.perf_counter()
            torch.mm(a, a)
            times.append(time.perf_counter() - start)
        seconds[dtype] = statistics.median(times)
    return seconds[torch.float32] / seconds[precision]


def is_out_of_memory(error: BaseException) -> bool:
    """True where ``error`` says that the device's memory is used up.

    On a Jetson that often comes as a plain RuntimeError of the NVML or NvMap layer.
    """
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    signs = (
        *("out of memory", "out_of_memory", "can't allocate memory", "cudaerrormemoryallocation"),
        *("nvml_success", "nvmapmemalloc", "cublas_status_alloc", "cudnn_status_alloc"),
    )
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in text for sign in signs)
