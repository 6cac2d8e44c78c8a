import json
import re
from dataclasses import replace

import cv2
import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving import CAMERA, Daemon

ROUTES = [
    "/livez",
    "/readyz",
    "/metrics",
    "/",
    "/static/page.js",
    "/cameras",
    "/cameras/dock/snapshot.jpg",
    "/cameras/dock/stream.mjpg",
]


@pytest.mark.parametrize(("path", "answer"), [("/livez", "live"), ("/readyz", "ready")])
def test_health_says_well_or_why_not(
    client: httpx.Client, daemon: Daemon, path: str, answer: str
) -> None:
    assert client.get(path).status_code == 200

    setattr(daemon, f"{answer}_answer", (False, {"reason": "the inference loop stands still"}))
    response = client.get(path)

    assert response.status_code == 503
    assert response.json() == {"reason": "the inference loop stands still"}


def test_snapshot_is_the_annotated_newest_frame(client: httpx.Client, daemon: Daemon) -> None:
    daemon.post("dock", 3)
    frame = daemon.post("dock", 4)

    response = client.get("/cameras/dock/snapshot.jpg")

    assert response.status_code == 200
    assert response.headers["content-type"] == "image/jpeg"
    assert response.headers["x-frame-id"] == "4"
    assert response.headers["x-captured-at"] == "2026-09-21T14:13:20.500Z"
    shown = cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (360, 640, 3)
    difference = np.abs(shown.astype(int) - frame.image).max(axis=2)
    assert difference[180, 320] > 30  # inside the object
    assert difference[10, 10] < 3


def test_snapshot_of_an_unknown_camera_is_404(client: httpx.Client) -> None:
    assert client.get("/cameras/attic/snapshot.jpg").status_code == 404
    assert client.get("/cameras/attic/stream.mjpg").status_code == 404


def test_snapshot_before_the_first_frame_is_503(client: httpx.Client) -> None:
    assert client.get("/cameras/dock/snapshot.jpg").status_code == 503
    assert client.get("/cameras/dock/stream.mjpg").status_code == 503


def test_a_camera_that_was_switched_off_shows_nothing(client: httpx.Client, daemon: Daemon) -> None:
    daemon.post("dock", 3)
    assert client.get("/cameras/dock/snapshot.jpg").status_code == 200

    daemon.board.clear("dock")

    assert client.get("/cameras/dock/snapshot.jpg").status_code == 503
    assert client.get("/cameras").json()["cameras"][0]["frame_id"] is None


def test_cameras_tells_the_page_everything(client: httpx.Client, daemon: Daemon) -> None:
    daemon.post("dock", 7, label="person")
    daemon.ready_answer = (False, {"reason": "the model loads"})
    daemon.node = replace(daemon.node, model=None, mqtt_connected=False)

    state = client.get("/cameras").json()

    dock, gate = state.pop("cameras")
    assert state == {
        "node": "dock-7",
        "version": "0.1.0",
        "model": None,
        "uptime_s": 81233.1,
        "mqtt_connected": False,
        "inference_fps": 14.2,
        "ready": False,
        "reason": "the model loads",
    }
    assert dock == {
        "id": "dock",
        "state": "online",
        "reason": None,
        "source": "rtsp://***@10.0.0.4/stream1",
        "decoder": "nvidia",
        "fps": 14.9,
        "age_s": 0.042,
        "size": [640, 360],
        "frame_id": 7,
        "counts": {"person": 1},
    }
    assert (gate["state"], gate["age_s"], gate["counts"]) == ("offline", None, {})


def test_page_shows_pictures_before_any_script_runs(client: httpx.Client, daemon: Daemon) -> None:
    daemon.post("dock", 1)
    response = client.get("/")

    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert '<img src="cameras/dock/snapshot.jpg"' in response.text
    assert "cameras/gate/snapshot.jpg" not in response.text  # would be a broken picture
    assert "<h1>dock-7</h1>" in response.text


def test_nothing_on_the_page_can_become_html(client: httpx.Client, daemon: Daemon) -> None:
    evil = '</script><img src=x onerror="alert(1)">$node'
    daemon.views = [replace(CAMERA, id=evil, state=evil, reason=evil, source=evil)]
    daemon.node = replace(daemon.node, node=evil, model=evil)
    daemon.post(evil, 1, label=evil)

    page = client.get("/").text

    assert "<img src=x" not in page
    assert page.count("<script") == page.count("</script>") == 2
    data = page.partition('id="state">')[2].partition("</script>")[0]
    assert json.loads(data)["cameras"][0]["counts"] == {evil: 1}


def test_page_asks_nobody_else_for_anything(client: httpx.Client) -> None:
    asks = re.compile(r"""(?:src|href)="([^"]*)"|url\(([^)]*)\)|@import (\S+)|fetch\("([^"]*)""")
    for path in ("/", "/static/page.css", "/static/page.js", "/static/icon.svg"):
        for found in asks.finditer(client.get(path).text):
            target = next(group for group in found.groups() if group is not None)
            # Relative to the page, so that it also works behind a proxy's path.
            assert re.match(r"(static/|cameras|metrics)", target), (path, target)


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("page.css", "text/css; charset=utf-8"),
        ("page.js", "text/javascript; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ],
)
def test_static_files(client: httpx.Client, name: str, media_type: str) -> None:
    response = client.get(f"/static/{name}")
    assert response.status_code == 200
    assert response.headers["content-type"] == media_type


@pytest.mark.parametrize(
    "path",
    ["/static/__init__.py", "/static/index.html", "/static/..%2fapp.py", "/nothing", "/cameras/"],
)
def test_everything_else_is_404(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("path", ROUTES)
def test_head_answers_like_get_without_a_body(
    client: httpx.Client, daemon: Daemon, path: str
) -> None:
    daemon.post("dock", 1)
    response = client.head(path)
    assert response.status_code == 200
    assert response.content == b""


@pytest.mark.parametrize("path", ROUTES)
def test_other_methods_are_405(client: httpx.Client, path: str) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
        assert client.request(method, path).status_code == 405


@pytest.mark.parametrize("path", [*ROUTES, "/nothing"])
def test_every_answer_carries_the_security_headers(
    client: httpx.Client, daemon: Daemon, path: str
) -> None:
    daemon.post("dock", 1)
    headers = client.head(path).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'self'")
    assert "access-control-allow-origin" not in headers
    assert "server" not in headers


def test_metrics_are_the_registry_in_the_text_format(client: httpx.Client, daemon: Daemon) -> None:
    daemon.metrics.add_camera("dock")
    daemon.metrics.frames_captured.labels("dock").inc(3)

    response = client.get("/metrics")

    assert response.headers["content-type"].startswith("text/plain; version=")
    samples = {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }
    assert samples["rfdetr_edge_frames_captured_total", ("dock",)] == 3
    assert samples["rfdetr_edge_frames_dropped_total", ("dock", "stale")] == 0


def test_metrics_speak_openmetrics_when_asked(client: httpx.Client) -> None:
    response = client.get("/metrics", headers={"Accept": "application/openmetrics-text"})
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")
