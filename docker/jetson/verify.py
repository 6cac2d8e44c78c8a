"""While the image is built: are torch and OpenCV in it the ones that are meant?

    verify.py CUDA [system]

CUDA is the version that torch must be built for, or "none". With ``system``, OpenCV must be the
system's own with GStreamer, and not one from pip in front of it; else it must be pip's. torch is
not imported: on a Jetson its driver is there only once the container runs.
"""

import importlib.util
import re
import runpy
import subprocess
import sys
from pathlib import Path

# Libraries of the driver, which the NVIDIA runtime brings in when the container starts.
DRIVER = ("libcuda.so", "libnvcuda", "libnvidia-", "libnvrm", "libnvos", "libnvsci", "libcudla")


def problems_of_torch(cuda: str) -> list[str]:
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return ["torch is not installed"]
    folder = Path(spec.origin).parent
    version = runpy.run_path(str(folder / "version.py"))
    found = version["cuda"] or "none"
    print(f"torch {version['__version__']}, CUDA {found}, in {folder}")
    problems = []
    if found != cuda:
        problems.append(f"torch is built for CUDA {found}, not {cuda}: where did pip find it?")
    missing = {
        name
        for library in sorted((folder / "lib").glob("lib*.so"))
        for name in missing_libraries(library)
        if not name.startswith(DRIVER)
    }
    if missing:
        problems.append(f"torch is linked to what is not there: {', '.join(sorted(missing))}")
    return problems


def missing_libraries(library: Path) -> list[str]:
    listed = subprocess.run(["ldd", library], capture_output=True, text=True, check=False).stdout
    return re.findall(r"(\S+) => not found", listed)


def problems_of_opencv(system: bool) -> list[str]:
    try:
        import cv2
    except ImportError as error:
        return [f"OpenCV cannot be imported: {error}"]
    gstreamer = re.search(r"GStreamer:\s+YES", cv2.getBuildInformation()) is not None
    print(f"OpenCV {cv2.__version__}, GStreamer {'yes' if gstreamer else 'no'}, in {cv2.__file__}")
    from_pip = Path(cv2.__file__).is_relative_to(sys.prefix)
    if not system:
        return [] if from_pip else ["OpenCV is the system's, but pip's was asked for"]
    if from_pip:
        return ["an OpenCV from pip hides the system's: leave out the extra opencv"]
    return [] if gstreamer else ["the system's OpenCV has no GStreamer"]


def main() -> int:
    cuda, *rest = sys.argv[1:]
    problems = problems_of_torch(cuda) + problems_of_opencv(rest == ["system"])
    for problem in problems:
        print(f"verify: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
