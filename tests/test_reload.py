"""What a reload takes over, what it refuses, and what it leaves for the next start."""

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge.config import Config, load_config
from edge.metrics import Metrics
from edge.reload import Reload
from edge.reload_request import ReloadRequest


class FakeRun:
    """A model that is loaded as far as the test says."""

    def __init__(self) -> None:
        self.model = self.failure = None
        self.stopped = False

    def works(self) -> bool:
        return True

    def stop(self, within_s: float) -> bool:
        self.stopped = True
        return self.model is not None


class Site:
    """A configuration file, and a daemon that notes what it is told."""

    def __init__(self, folder: Path, **values: Any) -> None:
        self.file = folder / "site.yaml"
        self.checkpoint = folder / "best.pth"
        self.checkpoint.write_bytes(b"weights")
        self.values = {
            "node": "test",
            "model": {"path": "best.pth", "type": "rfdetr-seg-nano"},
            "cameras": [{"id": "dock", "source": "shapes:"}],
        }
        self.write(**values)
        self.told: list[str] = []
        self.taken_over: list[tuple[Config, FakeRun | None]] = []
        self.loading: list[FakeRun] = []
        self.problems: list[str] = []
        self.metrics, self.request = Metrics(), ReloadRequest()
        self.reload = Reload(self.read().config, self.read, self.request, self, self.metrics, self)

    def write(self, **values: Any) -> None:
        self.values |= values
        self.file.write_text(yaml.safe_dump(self.values))

    def read(self):
        return load_config(self.file, {})

    def ask(self, **values: Any) -> None:
        self.write(**values)
        self.request.asked = True
        self.reload.turn()

    # the daemon's side
    def refusals(self, config):
        return self.problems

    def prepare(self, config):
        self.loading.append(FakeRun())
        return self.loading[-1]

    def take_over(self, config, successor):
        self.taken_over.append((config, successor))

    # systemd's side
    def reloading(self):
        self.told.append("reloading")

    def ready(self):
        self.told.append("ready")

    def extend_start(self, seconds):
        self.told.append("extend")

    def success(self) -> float:
        return self.metrics.registry.get_sample_value("rfdetr_edge_config_last_reload_successful")


@pytest.fixture
def site(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Site:
    caplog.set_level(logging.INFO)
    return Site(tmp_path)


def test_nothing_happens_until_it_is_asked_for(site: Site):
    site.reload.turn()
    assert (site.told, site.taken_over, site.success()) == ([], [], 1)


def test_cameras_are_taken_over_without_another_model(site: Site, caplog):
    cameras = [{"id": "dock", "source": "shapes:", "max_fps": 3}, {"id": "y", "source": "shapes:"}]
    site.ask(cameras=cameras)
    [(config, successor)] = site.taken_over
    assert [camera.id for camera in config.cameras] == ["dock", "y"]
    assert successor is None
    assert site.told == ["reloading", "ready"]
    assert "reloaded: cameras added: y; cameras changed: dock" in caplog.text
    site.reload.turn()
    assert len(site.taken_over) == 1


def test_another_order_is_a_change(site: Site, caplog):
    cameras = [{"id": name, "source": "shapes:"} for name in ("a", "b")]
    site.ask(cameras=cameras)
    site.ask(cameras=cameras[::-1])
    assert "reloaded: the cameras' order" in caplog.text
    assert [camera.id for camera in site.taken_over[-1][0].cameras] == ["b", "a"]


def test_a_bad_file_is_refused_with_every_problem(site: Site, caplog):
    site.ask(cameras=[{"id": "dock", "source": "rstp://x"}], trackin={})
    assert (site.taken_over, site.told, site.success()) == ([], ["reloading", "ready"], 0)
    assert "cameras[0].source" in caplog.text
    assert "trackin: unknown key (did you mean 'tracking'?)" in caplog.text
    assert site.reload.refused
    del site.values["trackin"]
    site.ask(cameras=[{"id": "dock", "source": "shapes:"}])
    assert (site.success(), site.reload.refused) == (1, "")


def test_what_the_model_cannot_do_is_refused(site: Site, caplog):
    site.problems = ["site.yaml: cameras[0].classes: 'unicorn' is none of the model's labels"]
    site.ask()
    assert (site.taken_over, site.reload.refused) == ([], site.problems[0])


def test_a_checkpoint_that_was_written_anew_is_loaded_beside(site: Site):
    site.ask()
    assert site.loading == []
    site.checkpoint.write_bytes(b"weights, trained for longer")
    site.ask(cameras=[{"id": "yard", "source": "shapes:"}])
    [run] = site.loading
    site.reload.turn()
    assert len(site.taken_over) == 1, "cameras wait for the model that they are written for"
    run.model = object()
    site.reload.turn()
    config, successor = site.taken_over[-1]
    assert (config.cameras[0].id, successor) == ("yard", run)
    assert site.told == ["reloading", "ready", "reloading", "extend", "ready"]
    site.ask()
    assert len(site.loading) == 1


def test_one_written_while_it_is_loaded_is_loaded_again_when_asked(site: Site):
    site.checkpoint.write_bytes(b"a second one")
    site.ask()
    site.checkpoint.write_bytes(b"the third one is longer")
    site.loading[0].model = object()
    site.request.asked = True  # while the second is loaded
    site.reload.turn()
    assert len(site.loading) == 1
    site.reload.turn()
    assert len(site.loading) == 2


def test_a_model_that_is_refused_leaves_everything_as_it_was(site: Site, caplog):
    site.ask(
        model={**site.values["model"], "confidence": 0.3},
        cameras=[{"id": "yard", "source": "shapes:"}],
    )
    site.loading[0].failure = RuntimeError("CUDA out of memory.\nTried to allocate much")
    site.reload.turn()
    assert site.taken_over == []
    assert site.reload.refused == "CUDA out of memory."
    assert "everything goes on as before" in caplog.text
    assert site.told[-1] == "ready"
    assert [camera.id for camera in site.reload.config.cameras] == ["dock"]
    site.ask()
    assert len(site.loading) == 2, "asked again, tried again"


def test_what_counts_from_the_next_start_is_said_each_time(site: Site, caplog):
    site.ask(http={"port": 9000}, tracking={"confirm_frames": 5})
    assert "http: has changed, which counts from the next start" in caplog.text
    [(config, _)] = site.taken_over
    assert (config.http.port, config.tracking.confirm_frames) == (8080, 5)
    caplog.clear()
    site.ask()
    assert "http: has changed" in caplog.text


def test_stopping_leaves_a_model_that_is_being_loaded(site: Site):
    assert site.reload.stop()
    site.checkpoint.write_bytes(b"new weights")
    site.ask()
    assert not site.reload.stop()
    assert site.loading[0].stopped
