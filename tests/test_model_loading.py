"""From the configuration to a warm engine: what is said on the way."""

import pytest

from edge import model_loading
from edge.config import Config
from edge.model_loading import load_model


def config(tmp_path, **model: str) -> Config:
    values = {
        "node": "test",
        "state_dir": str(tmp_path),
        "cache_dir": str(tmp_path),
        "model": {"id": "rfdetr-seg-demo", "device": "cpu", **model},
        "cameras": [{"id": "dock", "source": "shapes:"}],
    }
    made: Config = Config.model_validate(values, context={"folder": tmp_path})
    return made


@pytest.mark.parametrize(("gain", "warned"), [(0.125, True), (1.9, False)])
def test_a_precision_that_this_cpu_is_slow_in_is_said(tmp_path, monkeypatch, caplog, gain, warned):
    monkeypatch.setattr(model_loading, "speed_up", lambda precision: gain)
    loaded = load_model(config(tmp_path, precision="bf16"), "site.yaml")
    assert str(loaded.engine.precision) == "torch.bfloat16"
    assert ("bf16 8.0 times slower than fp32" in caplog.text) is warned


def test_float32_on_a_cpu_is_not_compared_with_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(model_loading, "speed_up", None)
    assert str(load_model(config(tmp_path), "site.yaml").engine.precision) == "torch.float32"
