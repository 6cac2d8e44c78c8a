"""What the build of the image checks: run on this environment, and on a torch made for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "docker" / "jetson" / "verify.py"
CUDA_HERE = torch.version.cuda or "none"


def verify(*arguments: str, pythonpath: Path | None = None) -> "subprocess.CompletedProcess[str]":
    environ = {**os.environ, "PYTHONPATH": str(pythonpath or "")}
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture
def made_torch(tmp_path: Path) -> Path:
    """A folder with a torch for CUDA 12.6, linked to the driver and to a library not there."""
    library = tmp_path / "torch" / "lib"
    library.mkdir(parents=True)
    (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('no driver here')\n")
    (tmp_path / "torch" / "version.py").write_text("__version__ = '2.8.0'\ncuda = '12.6'\n")
    for name in ("libcuda.so.1", "libcudss.so.0"):
        shared = ["gcc", "-shared", "-x", "c", "/dev/null", f"-Wl,-soname,{name}"]
        subprocess.run([*shared, "-o", library / name], check=True)
    linked = [library / "libcuda.so.1", library / "libcudss.so.0"]
    command = ["gcc", "-shared", "-x", "c", "/dev/null", "-x", "none", "-Wl,--no-as-needed"]
    subprocess.run([*command, *linked, "-o", library / "libtorch_cuda.so"], check=True)
    for path in linked:
        path.unlink()
    return tmp_path


def test_this_environment_is_what_it_is():
    done = verify(CUDA_HERE)
    assert (done.returncode, done.stderr) == (0, "")
    torch_line, opencv_line = done.stdout.splitlines()
    assert torch_line.startswith(f"torch {torch.__version__}, CUDA {CUDA_HERE}, in ")
    assert "GStreamer no" in opencv_line


def test_torch_for_another_cuda_is_refused():
    done = verify("11.0")
    assert done.returncode == 1
    assert f"torch is built for CUDA {CUDA_HERE}, not 11.0" in done.stderr


def test_opencv_of_pip_in_front_of_the_systems_is_refused():
    done = verify(CUDA_HERE, "system")
    assert done.returncode == 1
    assert (
        "verify: an OpenCV from pip hides the system's: leave out the extra opencv\n" in done.stderr
    )


@pytest.mark.e2e
def test_library_that_torch_lacks_is_named_and_the_driver_is_not(made_torch: Path):
    done = verify("12.6", pythonpath=made_torch)
    assert done.returncode == 1
    assert done.stderr == "verify: torch is linked to what is not there: libcudss.so.0\n"
