"""The board's Prometheus metrics: read when they are scraped, absent where there is nothing."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from edge.jetson import is_jetson, sysfs

_JETSON = "rfdetr_edge_jetson_"
_Labels = TypeVar("_Labels", bound=tuple[str, ...])


class JetsonCollector(Collector):
    """``cap_per_s`` is the inference rate's cap in force, or None (`Pace.cap_per_s`).

    A computer that is no Jetson has none of these, and neither does a board have what its files do
    not tell: a metric is absent rather than 0.
    """

    def __init__(self, root: Path, cap_per_s: Callable[[], float | None]) -> None:
        self._root, self._cap_per_s = root, cap_per_s
        self._is_jetson = is_jetson(root)

    def describe(self) -> Iterable[Metric]:
        """Nothing: a registry that asks need not have all files read for it."""
        return ()

    def collect(self) -> Iterator[Metric]:
        yield from _gauge(
            "rfdetr_edge_inference_rate_cap_hertz",
            "Frames a second that are inferred at most, over all cameras, to spare the board",
            self._cap_per_s(),
        )
        if self._is_jetson:
            yield from self._gpu()
            yield from self._memory()
            yield from self._heat()
            yield from self._supply()

    def _gpu(self) -> Iterator[Metric]:
        load, clock = sysfs.gpu_load(self._root), sysfs.gpu_clock(self._root)
        yield from _gauge(_JETSON + "gpu_load_ratio", "Share of the time that the GPU works", load)
        if clock is not None:
            yield from _gauge(_JETSON + "gpu_clock_hertz", "The GPU's clock", clock.current_hz)
            yield from _gauge(
                _JETSON + "gpu_clock_limit_hertz",
                "The highest clock that power mode and kernel allow the GPU at the moment",
                clock.max_hz,
            )

    def _memory(self) -> Iterator[Metric]:
        memory = sysfs.memory(self._root)
        if memory is not None:
            yield from _gauge(
                _JETSON + "memory_bytes", "Memory that CPU and GPU share", memory.total_bytes
            )
            yield from _gauge(
                _JETSON + "memory_available_bytes",
                "Memory that can be had without swapping",
                memory.available_bytes,
            )

    def _heat(self) -> Iterator[Metric]:
        temperatures, trips = {}, {}
        for zone in sysfs.thermal_zones(self._root):
            name = zone.name.removesuffix("-thermal")
            temperatures[name,] = zone.celsius
            trips[name, "throttle"] = zone.throttles_at_c
            critical = [trip.celsius for trip in zone.trips if trip.kind == "critical"]
            trips[name, "critical"] = min(critical, default=None)
        yield from _gauges(
            _JETSON + "temperature_celsius",
            "Temperature of a thermal zone whose sensor works",
            ["zone"],
            temperatures,
        )
        yield from _gauges(
            _JETSON + "trip_point_celsius",
            "Where the kernel lowers clocks (throttle) or shuts down (critical)",
            ["zone", "trip"],
            trips,
        )
        yield from _gauges(
            _JETSON + "throttling",
            "1 while the kernel slows the board by this cooling device",
            ["device"],
            {
                (device.name,): float(device.state > 0)
                for device in sysfs.cooling_devices(self._root)
                if device.slows
            },
        )

    def _supply(self) -> Iterator[Metric]:
        events = CounterMetricFamily(
            _JETSON + "over_current_events",
            "Times the supply failed the board: oc1 under-voltage, oc2 average over-current, "
            "oc3 instantaneous over-current",
            labels=["event"],
        )
        for each in sysfs.over_current(self._root):
            events.add_metric([each.event], each.count)
        if events.samples:
            yield events
        yield from _gauges(
            _JETSON + "power_watts",
            "Power on a supply rail",
            ["rail"],
            {(rail.name,): rail.watts for rail in sysfs.power_rails(self._root)},
        )
        mode = sysfs.power_mode(self._root)
        if mode is not None:
            yield from _gauges(
                _JETSON + "power_mode_info",
                "The power mode that nvpmodel has set",
                ["mode"],
                {(mode,): 1},
            )


def _gauge(name: str, text: str, value: float | None) -> Iterator[Metric]:
    return _gauges(name, text, [], {(): value})


def _gauges(
    name: str, text: str, labels: list[str], values: Mapping[_Labels, float | None]
) -> Iterator[Metric]:
    """One gauge, with a sample for each value that is not None; nothing where all are None."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for label_values, value in values.items():
        if value is not None:
            family.add_metric(label_values, value)
    if family.samples:
        yield family
