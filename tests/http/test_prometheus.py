"""The metrics as Prometheus itself reads them."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from serving import Daemon, Serve

from edge.metrics import DROP_REASONS, STAGES, Metrics

pytestmark = pytest.mark.e2e
DEADLINE_S = 60.0


def fill(metrics: Metrics) -> None:
    """Every metric with a sample, labels that need escaping included."""
    metrics.add_camera("dock")
    metrics.frames_captured.labels("dock").inc(120)
    metrics.frames_inferred.labels("dock").inc(100)
    metrics.frames_dropped.labels("dock", DROP_REASONS[0]).inc(20)
    metrics.camera_up.labels("dock").set(1)
    metrics.camera_reconnects.labels("dock").inc()
    metrics.last_frame_timestamp.labels("dock").set(1_790_000_000.5)
    metrics.frame_age.labels("dock").observe(0.012)
    for stage in STAGES:
        metrics.stage.labels(stage).observe(0.003)
    metrics.capture_to_publish.labels("dock").observe(0.024)
    metrics.publish_to_ack.observe(0.004)
    metrics.detections.labels("dock", 'a "quoted"\\\nlabel').inc(3)
    metrics.mqtt_connected.set(1)
    metrics.mqtt_messages.labels("frame").inc(7)
    metrics.model_info.labels(
        model="rfdetr-seg-demo", sha256="00" * 32, device="cpu", precision="fp32"
    ).set(1)
    metrics.build_info.labels(version="0.1.0", torch="2.8.0", python="3.10.12").set(1)


def test_promtool_finds_nothing_wrong(serve: Serve, daemon: Daemon) -> None:
    fill(daemon.metrics)
    text = httpx.get(serve().url + "metrics", trust_env=False).content
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False, timeout=60
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


@contextmanager
def prometheus(folder: Path, target: str, token: Path) -> Iterator[httpx.Client]:
    """A Prometheus that scrapes the target each second, and a client for its API."""
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [
            {
                "job_name": "rfdetr-edge",
                "authorization": {"credentials_file": str(token)},
                "static_configs": [{"targets": [target]}],
            }
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    command = ["prometheus", f"--config.file={folder}/prometheus.yml"]
    command += [f"--storage.tsdb.path={folder}/data", "--web.listen-address=127.0.0.1:0"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        port = listening_port(process, folder / "log")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            yield client
    finally:
        process.terminate()
        process.wait(30)


def listening_port(process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        for line in log.read_text().splitlines():
            if 'msg="Listening on"' in line:
                return int(line.rpartition("127.0.0.1:")[2].split()[0].strip('"'))
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def query(api: httpx.Client, expression: str) -> list[dict[str, object]]:
    """The result of an instant query, asked again until there is one."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        answer = api.get("/api/v1/query", params={"query": expression})
        if answer.status_code == 200 and answer.json()["data"]["result"]:
            result: list[dict[str, object]] = answer.json()["data"]["result"]
            return result
        time.sleep(0.1)
    raise AssertionError(f"no result for {expression}: {api.get('/api/v1/targets').text}")


def test_prometheus_scrapes_the_daemon(serve: Serve, daemon: Daemon, tmp_path: Path) -> None:
    fill(daemon.metrics)
    token = tmp_path / "token"
    token.write_text("s3cret-token\n")
    server = serve(token_file=token)

    with prometheus(tmp_path, f"127.0.0.1:{server.port}", token) as api:
        [captured] = query(api, "rfdetr_edge_frames_captured_total")
        [detections] = query(api, "rfdetr_edge_detections_total")
        [median] = query(
            api, "histogram_quantile(0.5, rfdetr_edge_capture_to_publish_seconds_bucket)"
        )
        [target] = api.get("/api/v1/targets").json()["data"]["activeTargets"]

    assert captured["value"][1] == "120"  # type: ignore[index]
    assert detections["metric"]["label"] == 'a "quoted"\\\nlabel'  # type: ignore[index]
    assert 0.02 <= float(median["value"][1]) <= 0.035  # type: ignore[index]
    assert (target["health"], target["lastError"]) == ("up", "")
