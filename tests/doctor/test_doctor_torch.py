"""torch: the right build, the right partner, a GPU that answers, and what it says when not."""

import os
import textwrap
from pathlib import Path

import pytest
from machines import CPU_TORCH, ORIN_TORCH, answering, computer, jetson

from edge.doctor import pytorch
from edge.doctor.finding import ok
from edge.doctor.machine import Machine, ProbeFailed, run_probe

REPOSITORY = Path(__file__).parents[2]


def judged(machine: Machine, facts: dict, wanted: str = "auto"):
    return list(pytorch.torch_build(machine, facts, wanted))


def test_nvidias_build_on_an_orin(tmp_path):
    machine, _ = jetson(tmp_path)
    assert judged(machine, ORIN_TORCH) == [ok("torch", "2.8.0, CUDA 12.6, Orin (sm_87)")]


def test_a_cpu_build_on_a_jetson_names_the_fix(tmp_path):
    machine, tree = jetson(tmp_path)
    (finding,) = judged(machine, {**CPU_TORCH, "version": "2.8.0"})
    assert finding.level == "fail"
    assert finding.what == "2.8.0 is a CPU build: it cannot use this board's GPU"
    assert finding.fix == pytorch.JETSON_REPLACE
    assert "torch-jp6-cu126" in finding.fix
    tree.write(".dockerenv", "")
    (finding,) = judged(machine, CPU_TORCH)
    assert finding.fix == "build the image anew (docs/container.md)"


def test_the_fixes_are_those_of_the_constraints_file():
    text = (REPOSITORY / "constraints" / "torch-jp6-cu126.txt").read_text()
    assert pytorch.JETSON_INSTALL in text
    assert pytorch.JETSON_REPLACE in text


def test_a_jetson_that_is_told_to_use_its_cpu_is_slow_but_obeys(tmp_path):
    machine, _ = jetson(tmp_path)
    assert [f.level for f in judged(machine, CPU_TORCH, "cpu")] == ["warn"]


def test_torch_is_missing(tmp_path):
    facts = {"failed": "No module named 'torch'", "missing": "torch"}
    machine, _ = jetson(tmp_path / "jetson")
    (finding,) = judged(machine, facts)
    assert (finding.level, finding.what) == ("fail", "is not installed")
    assert finding.fix == pytorch.JETSON_INSTALL
    machine, _ = computer(tmp_path / "pc")
    (finding,) = judged(machine, facts)
    assert (finding.level, finding.what) == ("fail", "is not installed")
    assert "jp6" not in finding.fix


@pytest.mark.parametrize(
    ("library", "fix"),
    [
        ("libcudss.so.0", "cudss"),
        ("libcusparseLt.so.0", "cusparselt"),
        ("libcudnn.so.9", "6.1 or 6.2"),
        ("libopenblas.so.0", "libopenblas0"),
        ("libcudart.so.12", "nvidia-jetpack"),
        ("libnvrm_gpu.so", "nvidia-jetpack"),
    ],
)
def test_a_missing_library_is_named_with_its_package(tmp_path, library, fix):
    machine, _ = jetson(tmp_path)
    error = f"{library}: cannot open shared object file: No such file or directory"
    (finding,) = judged(machine, {"failed": error})
    assert (finding.level, finding.what) == ("fail", f"cannot be loaded: {library} is missing")
    assert fix in finding.fix


def test_a_container_without_nvidias_runtime(tmp_path):
    machine, tree = jetson(tmp_path)
    tree.write(".dockerenv", "")
    error = "libcuda.so.1: cannot open shared object file: No such file or directory"
    (finding,) = judged(machine, {"failed": error})
    assert "--runtime nvidia" in finding.fix


def test_no_cuda_because_of_a_device_node(tmp_path):
    facts = {**ORIN_TORCH, "available": False, "error": "CUDA unknown error"}
    machine, _ = jetson(tmp_path, may_use=lambda path: path.name != "nvmap")
    (finding,) = judged(machine, facts)
    assert finding.level == "fail"
    assert "edge may not open /dev/nvmap" in finding.what


def test_no_cuda_and_the_nodes_are_in_order(tmp_path):
    facts = {**ORIN_TORCH, "available": False, "error": "operation not supported"}
    machine, _ = jetson(tmp_path)
    (finding,) = judged(machine, facts)
    assert finding.what == "2.8.0 finds no CUDA device: operation not supported"


def test_a_build_for_a_newer_cuda_than_the_driver(tmp_path):
    facts = {**ORIN_TORCH, "version": "2.11.0", "cuda": "13.0", "available": False}
    machine, _ = jetson(tmp_path / "jetson")
    (finding,) = judged(machine, facts)
    assert finding.what == "2.11.0 is built for CUDA 13.0, but the driver has CUDA 12.6"
    assert finding.fix == pytorch.JETSON_REPLACE
    machine, tree = computer(tmp_path / "pc")
    tree.write("dev/nvidia0", "")
    (finding,) = judged(machine, facts)
    assert finding.level == "fail"
    assert "driver" in finding.fix


def test_a_build_for_other_gpus(tmp_path):
    facts = {
        **ORIN_TORCH,
        "architectures": ["sm_80", "sm_90"],
        "error": "CUDA error: no kernel image is available for execution on the device",
    }
    machine, _ = jetson(tmp_path)
    (finding,) = judged(machine, facts)
    assert finding.what == "2.8.0 has no code for this GPU, only for sm_80 sm_90"
    (finding,) = judged(machine, {**facts, "error": "cuDNN error: NOT_INITIALIZED"})
    assert finding.level == "fail"
    assert finding.what.endswith("computing on it fails: cuDNN error: NOT_INITIALIZED")


def test_a_computer_with_and_without_a_gpu(tmp_path):
    machine, tree = computer(tmp_path)
    assert [f.level for f in judged(machine, CPU_TORCH)] == ["ok"]
    assert [f.level for f in judged(machine, CPU_TORCH, "cpu")] == ["ok"]
    assert [f.level for f in judged(machine, CPU_TORCH, "cuda")] == ["fail"]
    without = {**ORIN_TORCH, "available": False, "driver_cuda": 0, "error": "no driver"}
    assert [f.level for f in judged(machine, without)] == ["ok"]
    tree.write("dev/nvidia0", "")
    assert [f.level for f in judged(machine, CPU_TORCH)] == ["warn"]
    assert [f.level for f in judged(machine, without)] == ["fail"]


def test_what_the_daemon_itself_would_refuse(tmp_path):
    machine, _ = jetson(tmp_path)
    refusal = "PYTORCH_ALLOC_CONF has expandable_segments:True, which fails on a Jetson"
    first, second = judged(machine, {**ORIN_TORCH, "refusal": refusal})
    assert first.level == "ok"
    assert second.what == f"the daemon would not start: {refusal}"
    # Said once: a CPU build's own line has said it already.
    assert len(judged(machine, {**CPU_TORCH, "refusal": "a build without CUDA"})) == 1


def test_wheels_for_cuda_126_on_jetpack_60(tmp_path):
    levels = {}
    for jetpack in ("6.0", "6.1", "6.2"):
        machine, _ = jetson(tmp_path / jetpack, jetpack)
        found = pytorch.torch_and_release(machine, ORIN_TORCH)
        levels[jetpack] = [finding.level for finding in found]
    assert levels == {"6.0": ["warn"], "6.1": [], "6.2": []}


@pytest.mark.parametrize(
    ("changed", "level"),
    [
        ({}, "ok"),
        ({"torchvision": "0.25.0"}, "warn"),
        ({"torchvision": None}, "warn"),
        ({"torchvision_error": "operator torchvision::nms does not exist"}, "warn"),
    ],
)
def test_torchvision_is_torchs_own(changed, level):
    (finding,) = pytorch.torchvision({**ORIN_TORCH, **changed})
    assert finding.level == level


def test_numpy_2_under_a_torch_made_for_numpy_1(tmp_path):
    machine, _ = jetson(tmp_path)
    assert [f.level for f in pytorch.numpy_bridge(machine, ORIN_TORCH)] == ["ok"]
    facts = {**ORIN_TORCH, "numpy_error": "Numpy is not available"}
    (finding,) = pytorch.numpy_bridge(machine, facts)
    assert (finding.level, finding.fix) == ("fail", "pip install 'numpy<2'")


def test_what_a_crafted_checkpoint_can_do_to_an_older_torch(tmp_path):
    board, _ = jetson(tmp_path / "jetson")
    pc, _ = computer(tmp_path / "pc")

    def level(machine, version, cuda):
        facts = {"version": version, "cuda": cuda}
        return [finding.level for finding in pytorch.checkpoint_safety(machine, facts)]

    assert level(board, "2.5.0", "12.6") == ["fail"]
    assert level(board, "2.8.0", "12.6") == ["ok"]  # there is none newer for JetPack 6
    assert level(pc, "2.6.0+cu124", "12.4") == ["ok"]
    assert level(pc, "2.9.1+cpu", None) == ["warn"]
    assert level(pc, "2.10.0+cpu", None) == []


def test_nothing_more_is_said_of_a_torch_that_does_not_load(tmp_path):
    machine, _ = jetson(tmp_path)
    facts = {"failed": "crashed (SIGILL)"}
    (finding,) = judged(machine, facts)
    assert finding.what == "cannot be loaded: crashed (SIGILL)"
    assert list(pytorch.torchvision(facts)) == []
    assert list(pytorch.numpy_bridge(machine, facts)) == []
    assert list(pytorch.checkpoint_safety(machine, facts)) == []


def test_a_probe_without_an_answer_is_a_fact(tmp_path):
    machine, _ = jetson(tmp_path, probe=answering(torch="crashed (SIGSEGV)"))
    assert pytorch.torch_facts(machine, "auto") == {"failed": "crashed (SIGSEGV)"}


@pytest.fixture
def broken_torch(tmp_path, monkeypatch):
    """A torch of our own in front of the real one, for the real probe's process."""

    def make(body: str) -> None:
        package = tmp_path / "torch"
        package.mkdir()
        (package / "__init__.py").write_text(textwrap.dedent(body))
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{REPOSITORY}")

    return make


def test_a_torch_that_lacks_a_library(broken_torch):
    broken_torch('raise OSError("libcudss.so.0: cannot open shared object file: No such file")')
    facts = run_probe(["torch", "auto"], 20)
    assert facts["failed"].startswith("libcudss.so.0: cannot open shared object file")


def test_a_torch_that_crashes_takes_nobody_with_it(broken_torch):
    broken_torch("import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    with pytest.raises(ProbeFailed, match=r"^crashed \(SIGILL\)$"):
        run_probe(["torch", "auto"], 20)


def test_a_torch_that_hangs_is_given_up(broken_torch):
    broken_torch("import threading; threading.Event().wait()")
    with pytest.raises(ProbeFailed, match=r"^gave no answer within 0.5 s$"):
        run_probe(["torch", "auto"], 0.5)


def test_a_torch_that_ends_the_process(broken_torch):
    broken_torch("import os; os.write(2, b'out of luck\\n'); os._exit(3)")
    with pytest.raises(ProbeFailed, match=r"^ended with exit code 3: out of luck$"):
        run_probe(["torch", "auto"], 20)


def test_a_torch_that_prints_does_not_spoil_the_answer(broken_torch):
    broken_torch('import os; os.write(1, b"NvMMLiteOpen\\n"); raise ImportError("no such thing")')
    assert run_probe(["torch", "auto"], 20) == {"failed": "no such thing", "missing": None}
