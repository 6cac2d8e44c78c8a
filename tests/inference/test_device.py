"""Which device is used, refused, or waited for."""

import pytest
import torch

from edge.inference.device import (
    DeviceNotReadyError,
    DeviceRefusedError,
    choose_device,
    choose_precision,
    is_out_of_memory,
)
from edge.jetson import is_jetson

WITHOUT_CUDA = torch.version.cuda is None
needs_cpu_build = pytest.mark.skipif(not WITHOUT_CUDA, reason="torch is built for CUDA here")


def test_cpu_is_always_there():
    assert choose_device("cpu", on_jetson=True) == torch.device("cpu")


@needs_cpu_build
def test_auto_is_the_cpu_on_a_pc_without_cuda():
    assert choose_device("auto", on_jetson=False) == torch.device("cpu")


@needs_cpu_build
def test_auto_refuses_a_torch_without_cuda_on_a_jetson():
    with pytest.raises(DeviceRefusedError, match="torch-jp6-cu126"):
        choose_device("auto", on_jetson=True)


@needs_cpu_build
def test_cuda_is_refused_where_torch_has_none():
    with pytest.raises(DeviceRefusedError, match="build without CUDA"):
        choose_device("cuda:0", on_jetson=False)


@pytest.mark.parametrize("wanted", ["cuda", "cuda:1"])
def test_a_cuda_build_that_finds_no_device_is_worth_another_start(wanted, monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "12.6")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceNotReadyError, match="driver"):
        choose_device(wanted, on_jetson=False)
    with pytest.raises(DeviceNotReadyError, match="driver"):
        choose_device("auto", on_jetson=True)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:64,expandable_segments:True"),
        ("PYTORCH_ALLOC_CONF", "backend: cudaMallocAsync"),
    ],
)
def test_allocators_that_fail_on_a_jetson_are_refused_there_alone(variable, value, monkeypatch):
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DeviceRefusedError, match=f"{variable} has .* on a Jetson"):
        choose_device("auto", on_jetson=True)
    assert choose_device("auto", on_jetson=False) == torch.device("cuda:0")
    assert choose_device("cpu", on_jetson=True) == torch.device("cpu")


def test_precision():
    assert choose_precision("auto", torch.device("cpu")) == torch.float32
    assert choose_precision("auto", torch.device("cuda:0")) == torch.float16
    assert choose_precision("bf16", torch.device("cpu")) == torch.bfloat16


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("NVML_SUCCESS == r INTERNAL ASSERT FAILED"),
        RuntimeError("NvMapMemAllocInternalTagged: 1075072515 error 12"),
        RuntimeError("CUDA driver error: CUDA_ERROR_OUT_OF_MEMORY"),
    ],
)
def test_out_of_memory_is_recognised_as_jetsons_say_it(error):
    assert is_out_of_memory(error)


def test_other_errors_are_not_out_of_memory():
    assert not is_out_of_memory(RuntimeError("illegal memory access"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_a_jetson_is_known_by_its_release_file_or_device_tree(tmp_path):
    assert not is_jetson(tmp_path)
    tree = tmp_path / "proc/device-tree"
    tree.mkdir(parents=True)
    (tree / "compatible").write_bytes(b"raspberrypi,4-model-b\0brcm,bcm2711\0")
    assert not is_jetson(tmp_path)
    (tree / "compatible").write_bytes(b"nvidia,p3768-0000+p3767-0005\0nvidia,tegra234\0")
    assert is_jetson(tmp_path)
    other = tmp_path / "other"
    (other / "etc").mkdir(parents=True)
    (other / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.0\n")
    assert is_jetson(other)
