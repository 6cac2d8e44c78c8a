"""Cameras as configurations add, change and remove them."""

import time
from pathlib import Path
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from edge.camera_group import CameraGroup
from edge.clock import Clock
from edge.config import CameraSettings
from edge.metrics import Metrics

DEADLINE_S = 20.0


def settings(**cameras: dict[str, Any]) -> list[CameraSettings]:
    return [
        CameraSettings.model_validate(
            {"id": name, "source": "shapes:?size=64x48&fps=100", **keys}, context={"folder": Path()}
        )
        for name, keys in cameras.items()
    ]


def series(metrics: Metrics) -> set[str]:
    """The cameras that any metric tells of."""
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    samples = [sample for family in families for sample in family.samples]
    return {sample.labels["camera"] for sample in samples if "camera" in sample.labels}


def test_cameras_follow_the_configuration_in_its_order():
    metrics = Metrics()
    group = CameraGroup(settings(dock={}, yard={}), metrics, Clock())
    dock, yard = group.current
    group.apply(settings(gate={"max_frame_age_ms": 100}, dock={"max_frame_age_ms": 200}))
    gate, same = group.current
    assert (gate.id, same) == ("gate", dock)
    assert dock.settings.max_frame_age_ms == 200
    assert (group.max_age_s["gate"], group.max_age_s["dock"]) == (0.1, 0.2)
    assert series(metrics) == {"dock", "gate", "yard"}
    group.supervise()
    assert series(metrics) == {"dock", "gate"}
    group.apply(settings(yard={}))
    assert group.current == (yard,)


def test_the_series_of_one_that_left_stay_until_its_last_frame_is_reported():
    metrics = Metrics()
    group = CameraGroup(settings(dock={}, yard={}), metrics, Clock())
    group.start()
    while (frame := group.slots.take(DEADLINE_S)).camera != "yard":
        group.slots.done("dock")
    group.apply(settings(dock={}))
    group.supervise()
    assert "yard" in series(metrics)
    group.slots.done(frame.camera)
    group.supervise()
    assert "yard" not in series(metrics)

    # It comes back: counted from 0 again, with ids that go on.
    group.apply(settings(yard={"source": "shapes:?size=64x48&fps=0.1"}))
    group.start()
    deadline = time.monotonic() + DEADLINE_S
    while (again := group.slots.take(0.05)) is None:  # once the thread before has ended
        group.supervise()
        assert time.monotonic() < deadline
    assert (again.camera, again.id > frame.id) == ("yard", True)
    counted = metrics.registry.get_sample_value
    assert counted("rfdetr_edge_frames_captured_total", {"camera": "yard"}) == 1
    group.stop()
    assert group.join(DEADLINE_S)
