"""What a configuration names: itself, the model, the broker, the page's port, the cameras."""

import hashlib
import socket
import threading
from pathlib import Path

import pytest
from machines import answering, computer
from mosquitto import make_certificates
from sites import site, site_file

from edge.config import HttpSettings, MqttSettings
from edge.doctor import cameras, configuration, network
from edge.doctor.finding import Finding, ok
from edge.doctor.machine import ProbeFailed
from edge.weights import HOSTED_WEIGHTS

FRAME = {
    "size": [1920, 1080],
    "stream": "h264 over TCP at 25 fps",
    "decoder": "nvidia",
    "fallen_back": "",
    "seconds": 0.94,
}


def mqtt(port: int, **settings) -> MqttSettings:
    return MqttSettings(host="127.0.0.1", port=port, client_id="rfdetr-edge-test", **settings)


def only(findings) -> Finding:
    (finding,) = findings
    return finding


# -- the file --------------------------------------------------------------------------------------


def test_a_configuration_in_order(tmp_path):
    file = site_file(tmp_path, "shapes:", "shapes:?seed=2")
    found, findings = configuration.read_site(str(file), {})
    assert found is not None
    assert findings == [ok("config", f"{file}: node test, 2 cameras")]


def test_every_problem_is_a_failure_of_its_own(tmp_path):
    file = site_file(tmp_path, "rstp://10.0.0.4/x", mqtt={"prot": 1883})
    found, findings = configuration.read_site(str(file), {})
    assert found is None
    assert [f.level for f in findings] == ["fail", "fail"]
    assert findings[0].what == (
        f"{file}: cameras[0].source: unknown scheme 'rstp' (did you mean 'rtsp'?)"
    )


def test_a_variable_that_only_the_service_has(tmp_path):
    file = site_file(tmp_path, "rtsp://user:${DOCK_PASSWORD}@10.0.0.4/x")
    _, findings = configuration.read_site(str(file), {})
    assert "/etc/rfdetr-edge/environment" in only(findings).fix
    found, findings = configuration.read_site(str(file), {"DOCK_PASSWORD": "geheim"})
    assert found is not None
    assert "geheim" not in str(findings)


def test_warnings_of_the_configuration_are_warnings(tmp_path):
    file = site_file(tmp_path, "shapes:", http={"host": "0.0.0.0", "port": 0})
    _, findings = configuration.read_site(str(file), {})
    assert [f.level for f in findings] == ["warn", "ok"]


# -- the model -------------------------------------------------------------------------------------


def test_a_checkpoint_that_can_be_read(tmp_path):
    facts = {"variant": "rfdetr-seg-demo", "labels": 4, "sha256": "249b84b8b8b3" + 52 * "0"}
    machine, _ = computer(tmp_path, probe=answering(model=facts))
    finding = only(configuration.model(machine, site(tmp_path, "shapes:"), torch_works=True))
    assert finding == ok("model", "rfdetr-seg-demo: rfdetr-seg-demo, 4 labels, sha256 249b84b8b8b3")


@pytest.mark.parametrize("answer", [{"error": "is no checkpoint"}, "crashed (SIGSEGV)"])
def test_a_checkpoint_that_is_refused(tmp_path, answer):
    machine, _ = computer(tmp_path, probe=answering(model=answer))
    finding = only(configuration.model(machine, site(tmp_path, "shapes:"), torch_works=True))
    assert finding.level == "fail"


def test_a_checkpoint_cannot_be_read_without_torch(tmp_path):
    machine, _ = computer(tmp_path)
    finding = only(configuration.model(machine, site(tmp_path, "shapes:"), torch_works=False))
    assert finding.level == "warn"


def test_weights_that_are_still_to_be_downloaded(tmp_path, monkeypatch):
    named = site(tmp_path, "shapes:", model={"id": "rfdetr-seg-nano"})
    machine, _ = computer(tmp_path / "root")
    finding = only(configuration.model(machine, named, torch_works=True))
    assert finding.level == "warn"
    assert finding.what == "the weights of rfdetr-seg-nano are not in the cache yet"
    hosted = HOSTED_WEIGHTS["rfdetr-seg-nano"]
    kept = named.config.cache_dir / "weights" / hosted.file
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"half of it")
    assert configuration.needs_weights(named.config)
    whole = hashlib.md5(b"half of it", usedforsecurity=False).hexdigest()
    monkeypatch.setitem(
        HOSTED_WEIGHTS, "rfdetr-seg-nano", hosted.__class__(hosted.file, "x", whole)
    )
    assert not configuration.needs_weights(named.config)


# -- the broker ------------------------------------------------------------------------------------


@pytest.mark.e2e
def test_a_broker_that_accepts_us(broker):
    finding = only(network.broker(mqtt(broker.port)))
    where = f"127.0.0.1:{broker.port}"
    assert finding == ok("broker", f"{where} accepts us, without TLS, without a user name")
    assert broker.retained() == {}


@pytest.mark.e2e
def test_the_daemons_own_connection_is_left_alone(broker):
    only(network.broker(mqtt(broker.port)))
    assert "as rfdetr-edge-test-doctor-" in broker.log()
    assert "as rfdetr-edge-test (" not in broker.log()
    assert "Sending CONNACK" in broker.log()


@pytest.mark.e2e
def test_a_password_that_is_refused(start_mosquitto, tmp_path):
    broker = start_mosquitto(users={"edge": "right"})
    password = tmp_path / "password"
    password.write_text("wrong\n")
    finding = only(network.broker(mqtt(broker.port, username="edge", password_file=password)))
    assert finding.level == "fail"
    assert "refuses us: Not authorized" in finding.what
    assert "wrong" not in str(finding)
    password.write_text("right\n")
    finding = only(network.broker(mqtt(broker.port, username="edge", password_file=password)))
    assert finding.level == "ok"
    assert finding.what.endswith("without TLS, as edge")


@pytest.mark.e2e
def test_tls_and_its_mistakes(start_mosquitto, tmp_path):
    certificates = make_certificates(tmp_path / "certificates")
    broker = start_mosquitto(tls=certificates)
    trusting = {"tls": {"ca_file": str(certificates.ca)}}
    assert only(network.broker(mqtt(broker.port, **trusting))).level == "ok"
    finding = only(network.broker(mqtt(broker.port, tls=True)))
    assert (finding.level, "ca_file" in finding.fix) == ("fail", True)
    assert "certificate that is not accepted" in finding.what
    finding = only(network.broker(mqtt(broker.port), answer_s=2.0))
    assert finding.what == f"127.0.0.1:{broker.port} does not answer in MQTT"
    plain = start_mosquitto()
    finding = only(network.broker(mqtt(plain.port, **trusting)))
    assert finding.level == "fail"


def test_a_broker_that_is_not_there():
    with socket.socket() as held:  # bound, and nobody listens
        held.bind(("127.0.0.1", 0))
        finding = only(network.broker(mqtt(held.getsockname()[1])))
    assert finding.level == "fail"
    assert finding.what.endswith("cannot be reached: Connection refused")


def test_a_broker_that_says_nothing():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        finding = only(network.broker(mqtt(port), answer_s=0.2))
    assert finding.what == f"127.0.0.1:{port} does not answer in MQTT"


def test_a_name_that_does_not_resolve():
    settings = MqttSettings(host="no-such-host.invalid", client_id="x")
    finding = only(network.broker(settings))
    assert finding.what == "the name no-such-host.invalid cannot be resolved"


def test_a_password_file_that_is_gone(tmp_path):
    password = tmp_path / "password"
    password.write_text("secret")
    settings = mqtt(1, username="edge", password_file=password)
    password.unlink()
    finding = only(network.broker(settings))
    assert finding.what.startswith("mqtt.password_file: cannot read")


# -- the page's port -------------------------------------------------------------------------------


def test_a_port_that_is_free_and_one_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        settings = HttpSettings(host="127.0.0.1", port=port)
        finding = only(network.page(settings, daemon_runs=False))
        assert (finding.level, finding.what) == (
            "fail",
            f"127.0.0.1:{port} is taken by another program",
        )
        assert only(network.page(settings, daemon_runs=True)).level == "ok"
    assert only(network.page(settings, daemon_runs=False)).level == "ok"


def test_an_address_of_another_machine():
    settings = HttpSettings(host="192.0.2.1", port=8080)
    finding = only(network.page(settings, daemon_runs=False))
    assert finding.level == "fail"
    assert "cannot be listened on" in finding.what


# -- the cameras -----------------------------------------------------------------------------------


def test_a_camera_that_delivers(tmp_path):
    machine, _ = computer(tmp_path, probe=answering(camera=FRAME))
    named = site(tmp_path, "rtsp://10.0.0.4/x")
    assert only(cameras.camera(machine, named, 0, daemon_runs=False)) == ok(
        "camera cam0",
        "h264 over TCP at 25 fps 1920x1080, decoder nvidia, first frame after 0.9 s",
    )
    facts = {**FRAME, "stream": "h264 over TCP 1920x1080 at 25 fps"}
    machine, _ = computer(tmp_path, probe=answering(camera=facts))
    assert only(cameras.camera(machine, named, 0, daemon_runs=False)).what.startswith(
        "h264 over TCP 1920x1080 at 25 fps, decoder nvidia"
    )


def test_a_camera_that_fell_back_to_software(tmp_path):
    facts = {**FRAME, "decoder": "ffmpeg", "fallen_back": "OpenCV has no GStreamer"}
    machine, _ = computer(tmp_path, probe=answering(camera=facts))
    delivers, warned = cameras.camera(machine, site(tmp_path, "rtsp://h/x"), 0, daemon_runs=False)
    assert (delivers.level, warned.level) == ("ok", "warn")
    assert warned.what.endswith("OpenCV has no GStreamer")


def test_a_camera_that_hangs_or_crashes_is_told_without_its_password(tmp_path):
    machine, _ = computer(tmp_path, probe=answering(camera="gave no answer within 45 s"))
    named = site(tmp_path, "rtsp://user:geheim@10.0.0.4/x")
    finding = only(cameras.camera(machine, named, 0, daemon_runs=False))
    assert finding.level == "fail"
    assert finding.what == "rtsp://***@10.0.0.4/x: opening it gave no answer within 45 s"


def test_a_device_that_the_running_daemon_has(tmp_path):
    facts = {"error": "/dev/video0: is busy or is not a video capture device"}
    machine, _ = computer(tmp_path, probe=answering(camera=facts))
    named = site(tmp_path, "usb:0")
    assert only(cameras.camera(machine, named, 0, daemon_runs=True)).level == "ok"
    finding = only(cameras.camera(machine, named, 0, daemon_runs=False))
    assert (finding.level, "fuser" in finding.fix) == ("fail", True)


def test_cameras_are_asked_at_the_same_time_and_told_in_order(tmp_path):
    together = threading.Barrier(3, timeout=20)

    def probe(arguments, timeout_s):
        together.wait()  # nobody goes on before all three are here
        if arguments[2] == "1":
            raise ProbeFailed("crashed (SIGSEGV)")
        return FRAME

    machine, _ = computer(tmp_path, probe=probe)
    named = site(tmp_path, "shapes:", "shapes:", "shapes:")
    found = [(f.subject, f.level) for f in cameras.cameras(machine, named, daemon_runs=False)]
    assert found == [("camera cam0", "ok"), ("camera cam1", "fail"), ("camera cam2", "ok")]


def test_what_the_sources_say_has_a_fix_each():
    """The parts of sentences that the fixes go by are still in the sources."""
    capture = Path(cameras.__file__).parents[1] / "capture"
    said = "".join(file.read_text() for file in capture.glob("*.py"))
    assert [sign for sign, _ in cameras.FIXES if sign not in said] == []
