"""Splits a frame's time at the two ends of the network, on a CPU and on CUDA by the same rule."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

Times = tuple[float, float, float, float]  # seconds: preprocess, forward, postprocess, whole


class StageClock:
    """``start``, then ``mark`` before and after the network, then ``stop`` with the results on the
    host. On CUDA the marks are events in the stream, so that nobody waits for them.
    """

    def __init__(self, device: str) -> None:
        self._cuda = device.startswith("cuda")
        if self._cuda:
            torch.cuda.set_device(device)
        self._events = [torch.cuda.Event(enable_timing=True) for _ in range(3 * self._cuda)]
        self._marks: list[float] = []
        self._count = 0
        self._start = 0.0

    def start(self) -> None:
        self._start, self._marks, self._count = time.perf_counter(), [], 0
        self.mark()

    def mark(self) -> None:
        if self._cuda:
            self._events[self._count].record()
            self._count += 1
        else:
            self._marks.append(time.perf_counter())

    def stop(self) -> Times:
        if self._cuda:
            torch.cuda.synchronize()
        whole = time.perf_counter() - self._start
        if self._cuda:
            first, second, third = self._events
            before = first.elapsed_time(second) / 1000
            forward = second.elapsed_time(third) / 1000
        else:
            before, forward = (b - a for a, b in zip(self._marks, self._marks[1:], strict=False))
        return before, forward, whole - before - forward, whole


class TimedNetwork(nn.Module):
    """A network between two marks. While ``constructed`` is set, given outputs replace its own.

    ``outputs`` are float32 by the names pred_logits, pred_boxes and pred_masks; they come back in
    the shape (mapping or tuple), type and place of the network's own, which a first run shows.
    """

    def __init__(
        self, network: Callable[..., Any], clock: StageClock, outputs: Mapping[str, torch.Tensor]
    ) -> None:
        super().__init__()
        self.network, self.clock, self.outputs = network, clock, outputs
        self.constructed = False
        self._replacement: Any = None

    def forward(self, *inputs: Any, **named: Any) -> Any:
        self.clock.mark()
        if self.constructed and self._replacement is not None:
            found = self._replacement
        else:
            found = self.network(*inputs, **named)
            if self._replacement is None:
                self._replacement = self._like(found)
        self.clock.mark()
        return found

    def _like(self, found: Any) -> Any:
        if isinstance(found, Mapping):
            return {name: given.to(found[name]) for name, given in self.outputs.items()}
        # What both packages' exported networks return: boxes, logits, masks.
        names = ("pred_boxes", "pred_logits", "pred_masks")
        return tuple(self.outputs[name].to(own) for name, own in zip(names, found, strict=True))
