"""A box with systemd, a broker that wants a password, and what systemd/install.sh installs."""

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from systemd_box import REPOSITORY, SystemdBox, why_there_is_none

PASSWORD = "a b:c@d"
UNIT_FOLDER = "/etc/systemd/system"
CLONE = "/root/it's #1 & only"  # a link to the repository, by a name that wants quoting
SHAPES = {"id": "dock", "source": "shapes:?size=320x240&fps=5"}


def configuration(*cameras: dict[str, str], http_port: int = 0, **other: object) -> str:
    config = {
        "node": "box",
        "model": {"id": "rfdetr-seg-demo", "device": "cpu", "confidence": 0.45},
        "cameras": cameras,
        "mqtt": {"port": 9},  # nobody there
        "http": {"port": http_port},
        **other,
    }
    return yaml.safe_dump(config)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """rfdetr-edge as this repository has it now."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a copy: the build writes beside what it reads
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "edge", source / "edge", ignore=ignored)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", folder]
    subprocess.run([*pip, *offline, source], check=True, timeout=120)
    (wheel,) = folder.glob("rfdetr_edge-*.whl")
    return wheel


def with_line(wheel: Path, folder: Path, path: str, line: str) -> Path:
    """A copy of the wheel with one more line at the end of one of its files."""
    changed = folder / wheel.name
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            more = f"\n{line}\n".encode() if name == path else b""
            new.writestr(name, old.read(name) + more)
    return changed


class Installed:
    """The box after the first installation, with what the tests do to it."""

    def __init__(self, box: SystemdBox) -> None:
        self.box = box

    def install(self, wheel: Path, code: int = 0) -> str:
        """Run install.sh with a folder that holds this wheel; its output.

        torch and the other packages are those of the box's Python.
        """
        folder = self.box.file("/root/wheels")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        shutil.copy(wheel, folder)
        source = ["--wheels", "/root/wheels", "--python", "/opt/python/bin/python3"]
        return self.script("--torch", "none", *source, code=code)

    def script(self, *options: str, code: int = 0) -> str:
        """Run install.sh as a root whose new files are for nobody else; its output."""
        strict = ["sh", "-c", 'umask 077; exec "$0" "$@"']
        return self.box.run(*strict, f"{CLONE}/systemd/install.sh", *options, code=code)

    def another(self, name: str, config: str, drop_in: str = "") -> None:
        """A second service from the same unit: only its paths differ, and what ``drop_in`` says."""
        box, file = self.box, f"/etc/rfdetr-edge/{name}.yaml"
        box.write(file, config)
        text = box.file("/usr/local/lib/systemd/system/rfdetr-edge.service").read_text()
        box.write(f"{UNIT_FOLDER}/{name}.service", text.replace("config.yaml", f"{name}.yaml"))
        folders = [f"{kind}Directory=\n{kind}Directory={name}" for kind in ("State", "Runtime")]
        paths = "\n".join(["[Service]", *folders, drop_in])
        box.write(f"{UNIT_FOLDER}/{name}.service.d/paths.conf", paths)
        box.run("systemctl", "daemon-reload")

    def link(self, name: str) -> str:
        """The release that ``current`` or ``previous`` points to."""
        return self.box.run("readlink", f"/opt/rfdetr-edge/{name}").rsplit("/", 1)[1]

    def code(self, link: str) -> Path:
        """The package ``edge`` of the release that ``current`` or ``previous`` points to."""
        (edge,) = self.box.file(f"/opt/rfdetr-edge/releases/{self.link(link)}").glob(
            "lib/python3*/site-packages/edge"
        )
        return edge

    def running(self) -> tuple[str, str]:
        """The release that the service runs, and its process id."""
        assert self.box.show("rfdetr-edge", "ActiveState") == "active"
        pid = self.box.show("rfdetr-edge", "MainPID")
        program = self.box.file(f"/proc/{pid}/cmdline").read_text()
        return program.removeprefix("/opt/rfdetr-edge/releases/").split("/", 1)[0], pid


@pytest.fixture
def box(installed: Installed) -> SystemdBox:
    return installed.box


@pytest.fixture(scope="session")
def installed(wheel: Path) -> Iterator[Installed]:
    """Installed, configured and not started."""
    reason = why_there_is_none()
    if reason is not None:
        pytest.skip(reason)
    box = SystemdBox()
    try:
        box.start()
        _start_broker(box)
        box.run("ln", "-s", REPOSITORY, CLONE)
        installed = Installed(box)
        installed.install(wheel)
        _configure(installed)
        yield installed
    finally:
        box.stop()


def _start_broker(box: SystemdBox) -> None:
    lines = ["user root", "listener 1883 127.0.0.1", "password_file /etc/broker-passwords"]
    box.write("/etc/broker.conf", "\n".join([*lines, "allow_anonymous false", ""]))
    box.write("/etc/broker-passwords", "")
    box.run("mosquitto_passwd", "-b", "/etc/broker-passwords", "edge", PASSWORD)
    box.run(
        "systemd-run", "--unit", "broker", "--service-type", "notify",
        "/usr/sbin/mosquitto", "-c", "/etc/broker.conf",
    )  # fmt: skip


def _configure(installed: Installed) -> None:
    box, password = installed.box, "${CREDENTIALS_DIRECTORY}/mqtt_password"
    mqtt = {"username": "edge", "password_file": password}
    box.write("/etc/rfdetr-edge/config.yaml", configuration(SHAPES, http_port=8080, mqtt=mqtt))
    box.write("/etc/rfdetr-edge/mqtt_password", PASSWORD + "\n")
    box.run("chmod", "0600", "/etc/rfdetr-edge/mqtt_password")
    drop_in = (REPOSITORY / "systemd/drop-ins/mqtt-password.conf").read_text()
    box.write(f"{UNIT_FOLDER}/rfdetr-edge.service.d/mqtt-password.conf", drop_in)
    # A copy: a service has a /tmp of its own, and the repository may be in this machine's.
    hanging = "/opt/hanging_daemon.py"
    box.write(hanging, (Path(__file__).parent / "hanging_daemon.py").read_text())
    installed.another(
        "hung",
        configuration(SHAPES),
        f"""
        ExecStart=
        ExecStart=/opt/rfdetr-edge/current/bin/python {hanging} run -c /etc/rfdetr-edge/hung.yaml
        WatchdogSec=3
        RestartSec=1
        """,
    )
    nobody = {"id": "gone", "source": "rtsp://127.0.0.1:9/none"}
    installed.another("absent", configuration(nobody))
    # These two take their time: they run beside the tests before the one that looks at them.
    box.run("systemctl", "start", "--no-block", "hung", "absent")
