"""The image, really built by buildah on a Debian base, and run by crun: `make test-container`.

Named so that `make test` passes it by. Debian stands in for JetPack: an OpenCV of the system's with
GStreamer, built for numpy 1, and a torch without CUDA.
"""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from oci_container import Image, OciContainer
from pip_settings import pip_settings

from edge.events.schema import load
from edge.version import __version__

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "container"
ARGUMENTS = {
    "BASE_IMAGE": "localhost/debian:bookworm",
    "OPENCV_PACKAGE": "python3-opencv",
    "TORCH": "torch==2.13.0 torchvision==0.28.0",
    "TORCH_LIBRARIES": "",
    "EXTRAS": "demo",
    "CUDA": "none",
    "REVISION": "checked",
}
WRITABLE = ["/var/lib/rfdetr-edge", "/var/cache/rfdetr-edge", "/tmp"]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    assert os.geteuid() == 0, "a root file system is made and mounted: run this as root"
    storage = CACHE / "storage"
    shutil.rmtree(storage, ignore_errors=True)
    buildah = ["buildah", "--root", f"{storage}/root", "--runroot", f"{storage}/run"]
    buildah += ["--storage-driver", "vfs"]
    try:
        build_base(buildah, tmp_path_factory.mktemp("base"))
        started_s = time.monotonic()
        build_image(buildah, tmp_path_factory.mktemp("settings"))
        print(f"built in {time.monotonic() - started_s:.0f} s")
        print(output([*buildah, "images"]))
        image = Image(buildah, "rfdetr-edge:checked")
        yield image
        image.remove()
    finally:
        shutil.rmtree(storage)


def build_base(buildah: list[str], folder: Path) -> None:
    """Debian bookworm with Python; its files are kept in .cache/ from one run to the next."""
    archive = CACHE / "base" / "bookworm.tar"
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        include = "--include=ca-certificates,python3"
        output(["debootstrap", "--variant=minbase", include, "bookworm", f"{folder}/root"])
        output(["tar", "-C", f"{folder}/root", "-cf", f"{folder}/bookworm.tar", "."])
        shutil.move(folder / "bookworm.tar", archive)
        shutil.rmtree(folder / "root")
    (folder / "Dockerfile").write_text("FROM scratch\nADD bookworm.tar /\n")
    build = [*buildah, "build", "--isolation", "chroot", "--format", "docker"]
    build += ["--file", f"{folder}/Dockerfile", "--tag", ARGUMENTS["BASE_IMAGE"]]
    output([*build, str(archive.parent)])


def build_image(buildah: list[str], folder: Path) -> None:
    text, paths = pip_settings()
    (folder / "pip.conf").write_text(text)
    command = [*buildah, "build", "--isolation", "chroot", "--format", "docker"]
    command += ["--secret", f"id=pip.conf,src={folder}/pip.conf"]
    command += [f"--volume={path}:{path}:ro" for path in paths]
    command += [f"--build-arg={name}={value}" for name, value in ARGUMENTS.items()]
    command += ["--file", "docker/jetson/Dockerfile", "--tag", "rfdetr-edge:checked", "."]
    built = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert built.returncode == 0, built.stdout[-8000:]
    found = re.search(r"^OpenCV .*, GStreamer yes, in /usr/lib/.*$", built.stdout, re.MULTILINE)
    assert found, built.stdout[-8000:]
    print(found[0])


def output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def demo(image: Image, tmp_path: Path) -> Iterator[OciContainer]:
    """The demo as the image's user on a read-only root; healthy."""
    with OciContainer(image, tmp_path, ["demo"]) as container:
        container.wait_until_healthy(health_check(image))
        yield container


def health_check(image: Image) -> list[str]:
    kind, *command = image.settings["Healthcheck"]["Test"]
    assert kind == "CMD"
    return command


def test_image_says_how_it_is_run(image: Image):
    assert image.user() == {"uid": 10001, "gid": 10001, "additionalGids": image_groups(image)}
    assert image.settings["StopSignal"] == "SIGTERM"
    assert image.settings["Entrypoint"] == ["rfdetr-edge"]
    assert sorted(image.settings["Volumes"]) == ["/var/cache/rfdetr-edge", "/var/lib/rfdetr-edge"]
    labels = image.settings["Labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.revision"] == "checked"
    assert labels["org.opencontainers.image.base.name"] == ARGUMENTS["BASE_IMAGE"]


def image_groups(image: Image) -> list[int]:
    rows = [row.split(":") for row in (image.root / "etc/group").read_text().split()]
    return [int(row[2]) for row in rows if row[0] in ("video", "render")]


def test_nothing_of_the_build_is_left(image: Image):
    for name in ("build", "dist", "wheels", "etc/pip.conf"):
        assert not (image.root / name).exists(), name
    assert not (image.root / "opt/rfdetr-edge/bin/pip").exists()
    assert list(image.root.glob("opt/rfdetr-edge/lib/python3*/site-packages/pip")) == []


def test_demo_is_seen_by_a_subscriber_and_stops_in_order(demo: OciContainer):
    topic = "rfdetr-edge/demo/shapes/frame"
    # -R: what is not retained, which the demo's own broker may also send of other topics.
    subscribe = f"mosquitto_sub -h 127.0.0.1 -p 1883 -t {topic} -R -C 5 -W 60".split()
    messages = [json.loads(line) for line in output([*demo.network(), *subscribe]).splitlines()]
    first = messages[0]["seq"]
    assert [message["seq"] for message in messages] == list(range(first, first + 5))
    validator = jsonschema.Draft202012Validator(load("frame-1"))
    for message in messages:
        validator.validate(message)
    assert sum(len(message["objects"]) for message in messages) > 0

    demo.signal("TERM")
    assert demo.wait() == 0
    assert demo.log.read_text().splitlines()[-1].endswith("INFO  stopped")


def test_only_state_cache_and_tmp_can_be_written(demo: OciContainer):
    folders = ["/", "/etc", "/opt/rfdetr-edge", "/usr", "/var", *WRITABLE]
    script = 'for folder; do touch "$folder/touched" 2>/dev/null && echo "$folder"; done'
    assert demo.run(["sh", "-c", script, "sh", *folders]).stdout.split() == WRITABLE


def test_process_is_the_user_and_has_no_privileges(demo: OciContainer):
    wanted = ["Uid", "CapEff", "CapBnd", "NoNewPrivs"]
    status = demo.run(["cat", "/proc/1/status"]).stdout.splitlines()
    found = {line.split(":")[0]: line.split()[1] for line in status if line.split(":")[0] in wanted}
    none = "0000000000000000"
    assert found == {"Uid": "10001", "CapEff": none, "CapBnd": none, "NoNewPrivs": "1"}


def test_gstreamer_works_in_the_image(demo: OciContainer):
    pipeline = "videotestsrc num-buffers=2 ! videoconvert ! video/x-raw,format=BGR ! appsink"
    script = f"import cv2; print(cv2.VideoCapture({pipeline!r}, cv2.CAP_GSTREAMER).read()[1].shape)"
    done = demo.run(["python3", "-c", script])
    assert done.stdout == "(240, 320, 3)\n", done.stderr
    assert demo.run(["sh", "-c", "command -v lsmod"]).returncode == 0


def test_health_check_follows_the_daemon(image: Image, demo: OciContainer):
    assert demo.run(health_check(image)).returncode == 0
    demo.signal("STOP")
    stopped = demo.run(health_check(image))
    assert (stopped.returncode, stopped.stdout[:29]) == (1, "http://127.0.0.1:8080/livez: ")
    demo.signal("CONT")
    demo.wait_until_healthy(health_check(image))


def test_hung_daemon_is_killed_by_the_health_check_of_compose(image: Image, tmp_path: Path):
    # A shell is the first process, where Docker's `init: true` puts its own.
    below = ["sh", "-c", "rfdetr-edge demo & wait $!"]
    freeze = """
        import os, signal, sys
        from pathlib import Path
        sys.path.insert(0, "/opt/rfdetr-edge")
        import healthcheck
        os.kill(healthcheck.daemon(Path("/proc"))[0], signal.SIGSTOP)
    """
    with OciContainer(image, tmp_path, [], entrypoint=below) as container:
        container.wait_until_healthy(health_check(image))
        script = "\n".join(line.strip() for line in freeze.splitlines())
        assert container.run(["python3", "-c", script]).returncode == 0
        killing = container.run([*health_check(image), "--kill-after", "0"])
        assert killing.returncode == 1
        assert killing.stdout.endswith("no sign of life for 0 s: killing the daemon\n")
        assert container.wait() == 128 + 9


def test_without_a_configuration_it_is_refused(image: Image, tmp_path: Path):
    with OciContainer(image, tmp_path, image.settings["Cmd"]) as container:
        assert container.wait() == 78
        assert "/etc/rfdetr-edge/config.yaml" in container.log.read_text()
