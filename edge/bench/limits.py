"""The machine's limit: how fast it multiplies matrices and copies memory, right now."""

import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from torch import Tensor

COPY_BYTES = 1 << 26  # larger than any cache
COPIES = 7


class MatrixProduct:
    """A large square product at one precision, ready to be timed again and again."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device = device
        self.side = 4096 if device.type == "cuda" else 2048
        generator = torch.Generator().manual_seed(0)
        shape = (self.side, self.side)
        self._a, self._b = (
            torch.randn(shape, generator=generator).to(device, dtype) for _ in range(2)
        )
        self._product = torch.empty_like(self._a)
        self.gflops(turns=2)  # threads, kernels and clocks wake up

    def gflops(self, turns: int = 5) -> float:
        """GFLOP/s, the median of ``turns`` products."""
        seconds = timed(lambda: torch.mm(self._a, self._b, out=self._product), turns, self._device)
        return 2 * self.side**3 / median(seconds) / 1e9


def copy_gbps(device: torch.device) -> dict[str, float]:
    """Bytes copied a second, in GB/s (each is read once and written once), by kind of copy."""
    source, target = np.ones(COPY_BYTES, np.uint8), np.zeros(COPY_BYTES, np.uint8)
    speeds = {"host": _gbps(lambda: np.copyto(target, source), torch.device("cpu"))}
    if device.type == "cuda":
        pinned = torch.ones(COPY_BYTES, dtype=torch.uint8, pin_memory=True)
        here = torch.empty(COPY_BYTES, dtype=torch.uint8, device=device)
        there = torch.empty_like(here)
        speeds["pinned host to device"] = _copy(here, pinned, device)
        speeds["device to pinned host"] = _copy(pinned, here, device)
        speeds["device"] = _copy(there, here, device)
    return speeds


def timed(job: Callable[[], object], turns: int, device: torch.device) -> list[float]:
    """Seconds of each of ``turns`` calls, the device's work included."""
    seconds = []
    for _ in range(turns):
        start = time.perf_counter()
        job()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return seconds


def _copy(target: Tensor, source: Tensor, device: torch.device) -> float:
    return _gbps(lambda: target.copy_(source, non_blocking=True), device)


def _gbps(copy: Callable[[], object], device: torch.device) -> float:
    copy()
    return COPY_BYTES / median(timed(copy, COPIES, device)) / 1e9
