"""How failures are said and which exit code they get."""

import pytest
import torch

from edge.config import ConfigError
from edge.inference.device import DeviceRefusedError
from edge.report import report


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ConfigError(["a.yaml: node: is required", "a.yaml: x: unknown key"]), 78, "unknown key"),
        (DeviceRefusedError("no such device"), 78, "rfdetr-edge: no such device"),
        (MemoryError(), 71, "out of device memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), 71, "CUDA out of memory"),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling"), 71, "ALLOC_FAILED"),
        (ValueError("unforeseen"), 1, "ValueError: unforeseen"),
    ],
)
def test_exit_codes(capsys, error, code, text):
    assert report(error) == code
    said = capsys.readouterr().err
    assert text in said
    assert ("Traceback" in said or "ValueError" in said) == (code == 1)


def test_a_traceback_shows_no_password(capsys):
    report(ValueError("cannot open rtsp://user:s3cr3t@10.0.0.4/a"))
    said = capsys.readouterr().err
    assert "s3cr3t" not in said
    assert "rtsp://***@10.0.0.4/a" in said
