"""The board's metrics as Prometheus reads them; none of them on another computer."""

import subprocess
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from trees import GPU_LIMIT, OVER_CURRENT, POWER, THERMAL, orin, pc

from edge.jetson.collector import JetsonCollector
from edge.metrics import Metrics

PREFIX = "rfdetr_edge_jetson_"


def exposed(root: Path, cap_per_s: float | None = None) -> Metrics:
    metrics = Metrics()
    metrics.registry.register(JetsonCollector(root, lambda: cap_per_s))
    return metrics


def samples(metrics: Metrics, prefix: str = PREFIX) -> dict[str, float]:
    """Value by name and labels, as a line of the text format has them."""
    lines = generate_latest(metrics.registry).decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line.startswith(prefix))
    return {name.removeprefix(prefix): float(value) for name, value in pairs}


def test_a_board_shows_what_its_files_tell(tmp_path):
    tree = orin(tmp_path)
    tree.heat(61.5, "gpu")
    tree.run_gpu(625, 918_000_000)
    tree.cool_with(GPU_LIMIT, 2)
    shown = samples(exposed(tmp_path))
    assert shown["gpu_load_ratio"] == 0.625
    assert shown["gpu_clock_hertz"] == 918e6
    assert shown["gpu_clock_limit_hertz"] == 1020e6
    assert shown['temperature_celsius{zone="gpu"}'] == 61.5
    assert shown['trip_point_celsius{trip="throttle",zone="gpu"}'] == 99.0
    assert shown['trip_point_celsius{trip="critical",zone="tj"}'] == 104.5
    assert shown['throttling{device="devfreq-17000000.gpu"}'] == 1
    assert shown['throttling{device="gpu-throttle-alert"}'] == 0
    assert shown['over_current_events_total{event="oc3"}'] == 2
    assert shown['power_watts{rail="VDD_IN"}'] == pytest.approx(9.250304)
    assert shown['power_mode_info{mode="15W"}'] == 1
    assert shown["memory_bytes"] == 7802680 * 1024
    assert shown["memory_available_bytes"] == 4 << 30


def test_each_scrape_reads_anew(tmp_path):
    tree, metrics = orin(tmp_path), exposed(tmp_path)
    assert samples(metrics)['over_current_events_total{event="oc1"}'] == 0
    tree.count_over_current("oc1", 5)
    assert samples(metrics)['over_current_events_total{event="oc1"}'] == 5


def test_what_has_no_file_has_no_sample(tmp_path):
    tree = orin(tmp_path)
    shown = samples(exposed(tmp_path))
    absent = [name for name in shown if "cv0" in name and "temperature" in name]
    assert absent == [], "a zone whose sensor is off"
    assert not any("pwm-fan" in name or "hot-surface" in name for name in shown)
    for file in (f"{OVER_CURRENT}/name", f"{POWER}/name", "var/lib/nvpmodel/status"):
        tree.remove(file)
    tree.remove("sys/class/devfreq/17000000.gpu")
    (tmp_path / THERMAL).rename(tmp_path / "elsewhere")
    left = {name.partition("{")[0] for name in samples(exposed(tmp_path))}
    assert left == {"gpu_load_ratio", "memory_bytes", "memory_available_bytes"}


def test_a_pc_has_none_of_them(tmp_path):
    pc(tmp_path)
    assert samples(exposed(tmp_path)) == {}


def test_the_cap_is_shown_while_there_is_one(tmp_path):
    name = "rfdetr_edge_inference_rate_cap_hertz"
    assert samples(exposed(tmp_path, cap_per_s=12.5), name) == {"": 12.5}
    assert samples(exposed(tmp_path), name) == {}


def test_over_current_events_are_a_counter_and_the_rest_gauges(tmp_path):
    orin(tmp_path)
    metrics = exposed(tmp_path, cap_per_s=3.0)
    text = generate_latest(metrics.registry).decode()
    kinds = {
        family.name: family.type
        for family in text_string_to_metric_families(text)
        if family.name.startswith((PREFIX, "rfdetr_edge_inference_rate_cap"))
    }
    assert len(kinds) == 12
    counters = [name for name, kind in kinds.items() if kind != "gauge"]
    assert counters == [PREFIX + "over_current_events"]
    families = {
        family.name for family in openmetrics(generate_openmetrics(metrics.registry).decode())
    }
    assert families >= set(kinds)


@pytest.mark.e2e
def test_promtool_finds_nothing_wrong_with_a_board(tmp_path):
    orin(tmp_path)
    text = generate_latest(exposed(tmp_path, cap_per_s=3.0).registry)
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False, timeout=60
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")
