"""One run of the daemon inside the test's process, where its books can be read afterwards."""

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from edge.camera_group import CapturesStuck
from edge.config import load_config
from edge.daemon import Daemon
from edge.memory_room import NoRoomError
from edge.process import raise_descriptor_limit, thread_cpu_ns
from edge.reload_request import ReloadRequest
from edge.stop import StopRequest
from edge.systemd import Notifier


def make_daemon(
    folder: Path, *cameras: dict[str, Any], reload: ReloadRequest | None = None
) -> tuple[Daemon, StopRequest]:
    """A daemon on the demo model, without a broker."""
    file = folder / "edge.yaml"
    config = {
        "node": "test",
        "state_dir": str(folder / "state"),
        "model": {"id": "rfdetr-seg-demo", "device": "cpu"},
        "cameras": list(cameras),
        "mqtt": {"port": 9},
        "http": {"port": 0},
    }
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    stop = StopRequest()
    reread = partial(load_config, file, {})
    notifier = Notifier({})
    daemon = Daemon(
        reread().config, str(file), stop, notifier=notifier, reload=reload, reread=reread
    )
    return daemon, stop


def books(daemon: Daemon, camera: str) -> dict[str, float]:
    """What became of the camera's frames."""
    value = daemon._metrics.registry.get_sample_value
    reasons = ("overwritten", "stale", "rate", "disabled", "error", "shutdown")
    counted = {
        reason: value("rfdetr_edge_frames_dropped_total", {"camera": camera, "reason": reason})
        for reason in reasons
    }
    for name in ("captured", "inferred"):
        counted[name] = value(f"rfdetr_edge_frames_{name}_total", {"camera": camera})
    return {name: number or 0.0 for name, number in counted.items()}


def test_after_a_clean_stop_every_frame_is_accounted_for(tmp_path):
    daemon, stop = make_daemon(
        tmp_path,
        {"id": "fast", "source": "shapes:?fps=60&size=320x180"},
        {"id": "capped", "source": "shapes:?fps=60&size=320x180", "max_fps": 3},
    )

    def stop_after_some_frames() -> None:
        deadline = time.monotonic() + 60
        while books(daemon, "capped")["inferred"] < 3 and time.monotonic() < deadline:
            threading.Event().wait(0.02)
        stop.asked = True

    watcher = threading.Thread(target=stop_after_some_frames)
    watcher.start()
    assert daemon.run() == 0
    watcher.join()
    for camera in ("fast", "capped"):
        counted = books(daemon, camera)
        captured, inferred = counted.pop("captured"), counted.pop("inferred")
        assert inferred >= 3
        assert captured == inferred + sum(counted.values())
    assert books(daemon, "fast")["overwritten"] > 0
    assert books(daemon, "capped")["rate"] > 0


def test_the_last_frame_of_a_file_is_waited_for_however_long_it_takes(tmp_path, monkeypatch):
    import cv2
    import numpy as np

    from edge.inference.engine import Engine

    clip = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"MJPG"), 15, (64, 48))
    for shade in (0, 120, 240):
        writer.write(np.full((48, 64, 3), shade, np.uint8))
    writer.release()
    daemon, _ = make_daemon(tmp_path, {"id": "clip", "source": "file:clip.avi?pace=none"})
    submit = Engine.submit

    def slow_submit(engine: Engine, image: Any) -> None:
        if image.shape == (48, 64, 3):  # longer than the main thread's tick
            threading.Event().wait(1.2)
        submit(engine, image)

    monkeypatch.setattr(Engine, "submit", slow_submit)
    assert daemon.run() == 0
    counted = books(daemon, "clip")
    assert (counted["captured"], counted["inferred"]) == (3, 3)


def test_hanging_capture_threads_are_counted_over_all_cameras(tmp_path):
    daemon, _ = make_daemon(tmp_path, {"id": "a", "source": "shapes:"})
    one, two = (SimpleNamespace(supervise=lambda now: None, abandoned=n) for n in (1, 2))
    daemon._cameras._known = {"a": one, "b": two}
    daemon._cameras.supervise()
    two.abandoned = 3
    with pytest.raises(CapturesStuck):
        daemon._cameras.supervise()


def test_a_failure_in_a_thread_is_raised_by_run_after_everything_stopped(tmp_path, monkeypatch):
    from edge.reporter import Reporter

    def fail(self: Reporter, timeout_s: float) -> None:
        raise OSError("a bug")

    monkeypatch.setattr(Reporter, "turn", fail)
    daemon, _ = make_daemon(tmp_path, {"id": "a", "source": "shapes:?fps=60&size=64x48"})
    with pytest.raises(OSError, match="a bug"):
        daemon.run()
    assert not daemon._http.is_alive()
    assert daemon._inference.stop(0)


def test_a_working_thread_is_told_from_one_that_hangs():
    stop = threading.Event()

    def count() -> None:
        while not stop.is_set():
            sum(range(1000))

    hanging = threading.Thread(target=stop.wait, daemon=True)
    working = threading.Thread(target=count, daemon=True)
    for thread in (hanging, working):
        thread.start()
    try:
        deadline = time.monotonic() + 20
        while thread_cpu_ns(working.native_id) < 200_000_000:
            assert time.monotonic() < deadline
        assert thread_cpu_ns(hanging.native_id) < 20_000_000  # what its start took
    finally:
        stop.set()
        working.join()
    while thread_cpu_ns(working.native_id) > 0:  # the kernel's part of it ends a moment later
        assert time.monotonic() < deadline


def test_the_descriptor_limit_is_raised_as_far_as_it_may_be():
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
        raise_descriptor_limit(800)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (800, before[1])
        raise_descriptor_limit(600)  # never lowered
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (800, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        threading.Event().wait(0.02)


class Reloading:
    """A daemon whose reloads find another model, with the test in a thread beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.request = folder, ReloadRequest()
        self.camera = {"id": "a", "source": "shapes:?fps=60&size=64x48"}
        self.daemon, self.stop = make_daemon(folder, self.camera, reload=self.request)
        self.error: BaseException | None = None

    @property
    def inferred(self) -> float:
        return books(self.daemon, "a")["inferred"]

    def ask(self, confidence: float) -> None:
        file = self.folder / "edge.yaml"
        file.write_text(
            file.read_text().replace("device: cpu", f"device: cpu\n  confidence: {confidence}")
        )
        self.request.asked = True

    def run(self, test: Callable[[], None]) -> None:
        def run_test() -> None:
            try:
                until(lambda: self.inferred > 0)
                test()
            except BaseException as error:
                self.error = error
            finally:
                self.stop.asked = True

        tester = threading.Thread(target=run_test)
        tester.start()
        assert self.daemon.run() == 0
        tester.join()
        if self.error is not None:
            raise self.error


def test_frames_are_inferred_for_as_long_as_another_model_is_loaded(tmp_path, monkeypatch):
    from edge import model_loading

    site = Reloading(tmp_path)
    load, loading, go_on = model_loading.load_model, threading.Event(), threading.Event()

    def slow_load(config: Any, file: str) -> Any:
        loading.set()
        assert go_on.wait(60)
        return load(config, file)

    def test() -> None:
        monkeypatch.setattr(model_loading, "load_model", slow_load)
        before = site.daemon._inference
        site.ask(0.3)
        assert loading.wait(60)
        reached = site.inferred
        until(lambda: site.inferred > reached + 20)
        go_on.set()
        until(lambda: site.daemon._inference is not before)
        assert before.stop(20), "the old one has ended"
        assert before.model is None
        reached = site.inferred
        until(lambda: site.inferred > reached + 5)

    site.run(test)
    counted = books(site.daemon, "a")
    captured, inferred = counted.pop("captured"), counted.pop("inferred")
    assert captured == inferred + sum(counted.values())
    assert (counted["error"], counted["stale"]) == (0, 0)


@pytest.mark.parametrize(
    "error",
    [
        NoRoomError("a second model beside the one that runs needs about 900 MiB"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    ],
    ids=["asked beforehand", "found out"],
)
def test_where_memory_does_not_hold_both_the_old_model_stays(tmp_path, monkeypatch, caplog, error):
    from edge import daemon

    site = Reloading(tmp_path)

    def refuse(*_: Any) -> None:
        raise error

    def test() -> None:
        before = site.daemon._inference
        monkeypatch.setattr(daemon, "check_room", refuse)
        site.ask(0.3)
        until(lambda: site.daemon._reload.refused)
        assert site.daemon._inference is before
        reached = site.inferred
        until(lambda: site.inferred > reached + 5)

    site.run(test)
    assert str(error) in caplog.text
    assert "reload refused: everything goes on as before" in caplog.text


def test_stopping_does_not_wait_for_a_model_that_is_being_loaded(tmp_path, monkeypatch):
    from edge import model_loading

    site = Reloading(tmp_path)
    loading, go_on = threading.Event(), threading.Event()
    left: list[bool] = []

    def hang(*_: Any) -> None:
        loading.set()
        go_on.wait(60)

    def test() -> None:
        monkeypatch.setattr(model_loading, "load_model", hang)
        monkeypatch.setattr(site.daemon, "_leave_at_once", lambda: left.append(True))
        site.ask(0.3)
        assert loading.wait(60)

    began = time.monotonic()
    site.run(test)
    assert time.monotonic() - began < 50
    assert left == [True], "the interpreter must not be taken down around that thread"
    go_on.set()
