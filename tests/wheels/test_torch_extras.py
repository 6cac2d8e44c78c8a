"""Each torch extra's constraints file and documented command, by a real pip on stand-in indexes."""

import hashlib
import json
import re
import shutil
import subprocess
import venv
from collections.abc import Iterator
from importlib.metadata import metadata, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from wheel_index import Index, documented_commands, make_wheel, pip, report_urls

REPOSITORY = Path(__file__).parents[2]
CONSTRAINTS = REPOSITORY / "constraints"
NVIDIA = "https://pypi.jetson-ai-lab.io"
TORCH_EXTRAS = [
    name for name in metadata("rfdetr-edge").get_all("Provides-Extra", []) if "torch-" in name
]
CUDA_EXTRAS = [name for name in TORCH_EXTRAS if re.fullmatch("torch-cu[0-9]+", name)]
JP6 = "torch-jp6-cu126"
JETSON = [
    *(
        "--target",
        "target",
        "--ignore-installed",
        "--only-binary=:all:",
        "--python-version",
        "3.10",
    ),
    *("--platform", "manylinux_2_28_aarch64", "--platform", "linux_aarch64"),  # as pip ranks them
]
PC = [
    *(
        "--target",
        "target",
        "--ignore-installed",
        "--only-binary=:all:",
        "--python-version",
        "3.10",
    ),
    *("--platform", "manylinux_2_28_x86_64"),
]


def pins(extra: str) -> dict[str, Requirement]:
    """A torch file's own pins that hold on a PC; ``-c`` lines are not among them."""
    lines = (CONSTRAINTS / f"{extra}.txt").read_text().splitlines()
    found = [Requirement(line) for line in lines if line[:1] not in "#-"]
    here = [pin for pin in found if not pin.marker or pin.marker.evaluate({"platform_machine": ""})]
    return {pin.name: pin for pin in here}


def commands(extra: str) -> list[list[str]]:
    """The arguments of the pip commands in a constraints file's head."""
    return documented_commands(CONSTRAINTS / f"{extra}.txt", "#     ")


def documented_install(extra: str) -> list[str]:
    """The first in the file's head, with the project by its name instead of the clone's folder."""
    return [part.replace(".[", "rfdetr-edge[") for part in commands(extra)[0]]


@pytest.fixture
def public() -> Iterator[Index]:
    """The public index: our package as it is, all that it needs, and torch for every machine."""
    with Index() as index:
        index.add("rfdetr-edge", "0.1.0", "py3-none-any", "us", requires=requires("rfdetr-edge"))
        for file in ("runtime.txt", "numpy1.txt", "numpy2.txt"):
            for line in (CONSTRAINTS / file).read_text().splitlines():
                if not line.startswith("#"):
                    name, version = line.split("==")
                    index.add(name, version, "py3-none-any", "public")
        for project, versions in {
            "torch": ["2.6.0", "2.7.1", "2.8.0", "2.8.1", "2.11.0", "2.13.0", "2.15.0"],
            "torchvision": ["0.21.0", "0.22.1", "0.23.0", "0.26.0", "0.28.0", "0.30.0"],
        }.items():
            for version in versions:
                for machine in ("aarch64", "x86_64"):
                    tag = f"cp310-cp310-manylinux_2_28_{machine}"
                    index.add(project, version, tag, "public")
        yield index


@pytest.fixture
def vendor() -> Iterator[Index]:
    """NVIDIA's index, or PyTorch's."""
    with Index() as index:
        yield index


@pytest.fixture
def clone(tmp_path: Path, vendor: Index) -> Path:
    """A folder with our constraints, but for NVIDIA's files: those are stand-ins on ``vendor``."""
    shutil.copytree(CONSTRAINTS, tmp_path / "constraints")
    serve_nvidia(tmp_path, vendor, tag="cp310-cp310-linux_aarch64")
    return tmp_path


def serve_nvidia(clone: Path, vendor: Index, *, tag: str) -> None:
    """Serve the pinned files where they are pinned, and on the index's pages too."""
    file = clone / "constraints" / f"{JP6}.txt"
    text = (CONSTRAINTS / f"{JP6}.txt").read_text()
    for name, version in {"torch": "2.8.0", "torchvision": "0.23.0"}.items():
        address, _, digest = str(pins(JP6)[name].url).partition("#sha256=")
        path = address.removeprefix(NVIDIA).replace("cp310-cp310-linux_aarch64", tag)
        wheel = make_wheel(name, version, tag, "NVIDIA")[1]
        vendor.put(path, wheel)
        vendor.add(name, version, tag, "NVIDIA")
        text = text.replace(
            f"{address}#sha256={digest}", f"{vendor.address}{path}#sha256={sha(wheel)}"
        )
    file.write_text(text)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def dry_run(
    arguments: list[str], clone: Path, public: Index, machine: list[str], **options: object
):
    """A command, resolved for another machine: pip's result, and its report's addresses."""
    report = clone / "report.json"
    report.unlink(missing_ok=True)
    extra = ["--dry-run", "--report", str(report), *machine]
    result = pip([*arguments, *extra], clone, public, **options)
    return result, report_urls(report) if report.exists() else {}


def test_each_torch_extra_has_its_constraints_and_they_agree():
    files = {file.stem for file in CONSTRAINTS.glob("torch-*.txt")}
    assert files == set(TORCH_EXTRAS)
    for line in requires("rfdetr-edge") or []:
        wanted = Requirement(line)
        for extra in TORCH_EXTRAS:
            if wanted.name in ("torch", "torchvision") and wanted.marker.evaluate({"extra": extra}):
                pin = pins(extra)[wanted.name]
                version = (
                    pin.url.split("-")[-4] if pin.url else str(pin.specifier).removeprefix("==")
                )
                assert wanted.specifier.contains(version), (extra, version)


def test_nvidias_addresses_and_checksums_belong_together():
    for name in ("torch", "torchvision"):
        found = re.fullmatch(
            NVIDIA
            + rf"/jp6/cu126/\+f/(.{{3}})/(.{{13}})/{name}-[0-9.]+-cp310-cp310-linux_aarch64\.whl"
            r"#sha256=([0-9a-f]{64})",
            str(pins(JP6)[name].url),
        )
        assert found
        assert found[3].startswith(found[1] + found[2])  # the index files by checksum


@pytest.mark.parametrize("also", ["no other index", "NVIDIA's beside it", "NVIDIA's before it"])
def test_jp6_takes_torch_from_nvidia_alone(clone, public, vendor, also):
    environ = {
        "no other index": {},
        "NVIDIA's beside it": {"PIP_EXTRA_INDEX_URL": vendor.url},
        "NVIDIA's before it": {"PIP_INDEX_URL": vendor.url, "PIP_EXTRA_INDEX_URL": public.url},
    }[also]
    result, urls = dry_run(documented_install(JP6), clone, public, JETSON, environ=environ)
    assert result.returncode == 0, result.stderr
    for name in ("torch", "torchvision"):
        assert urls[name].startswith(f"{vendor.address}/jp6/cu126/+f/")
        assert public.wheels_asked(name) == []
    rest = {name: url for name, url in urls.items() if not name.startswith("torch")}
    assert "rfdetr-edge" in rest
    assert all(url.startswith(public.address) for url in rest.values())
    assert urls["numpy"].endswith("/numpy-1.26.4-py3-none-any.whl")
    assert "opencv-python-headless" not in urls  # JetPack's stays in view


def test_jp6_fails_where_nvidia_has_lost_a_file(clone, public, vendor):
    vendor.put(str(pins(JP6)["torch"].url).removeprefix(NVIDIA).partition("#")[0], None)
    environ = {"PIP_EXTRA_INDEX_URL": vendor.url}
    result, urls = dry_run(documented_install(JP6), clone, public, JETSON, environ=environ)
    assert result.returncode != 0
    assert "404" in result.stderr
    assert urls == {}
    assert public.wheels_asked("torch") == []


def test_jp6_refuses_another_build_of_the_same_version(clone, public, vendor):
    path = str(pins(JP6)["torch"].url).removeprefix(NVIDIA).partition("#")[0]
    vendor.put(path, make_wheel("torch", "2.8.0", "cp310-cp310-linux_aarch64", "somebody else")[1])
    result, urls = dry_run(documented_install(JP6), clone, public, JETSON)
    assert result.returncode != 0
    assert "DO NOT MATCH THE HASHES" in result.stderr
    assert urls == {}


def test_a_version_and_nvidias_index_would_take_the_public_torch(clone, public, vendor):
    """Why files are pinned: pip asks all indexes and prefers manylinux."""
    arguments = ["install", "--extra-index-url", vendor.url, "torch==2.8.0"]
    result, urls = dry_run(arguments, clone, public, JETSON)
    assert result.returncode == 0, result.stderr
    assert urls["torch"].startswith(public.address)


def test_jp6_torch_stays_whatever_is_installed_afterwards(tmp_path, public, vendor):
    shutil.copytree(CONSTRAINTS, tmp_path / "constraints")
    serve_nvidia(tmp_path, vendor, tag="py3-none-any")
    for name, version in {"torch": "2.8.0", "torchvision": "0.23.0"}.items():
        public.add(name, version, "py3-none-any", "public")
    python = empty_environment(tmp_path)
    again = ["install", f"rfdetr-edge[{JP6}]"]
    for arguments in (documented_install(JP6), again, [*again, "--upgrade"]):
        result = pip(arguments, tmp_path, public, options=["--python", python])
        assert result.returncode == 0, result.stderr
        assert makers(python) == {"torch": "NVIDIA", "torchvision": "NVIDIA", "numpy": "public"}
    assert public.wheels_asked("torch") == []


def test_the_documented_repair_replaces_a_public_torch_and_nothing_else(tmp_path, public, vendor):
    shutil.copytree(CONSTRAINTS, tmp_path / "constraints")
    serve_nvidia(tmp_path, vendor, tag="py3-none-any")
    for name, version in {"torch": "2.8.0", "torchvision": "0.23.0", "sympy": "1.14.0"}.items():
        public.add(name, version, "py3-none-any", "public")
    python = empty_environment(tmp_path)
    wrong = ["install", "torch==2.8.0", "torchvision==0.23.0", "numpy==1.26.4"]
    for arguments in (wrong, commands(JP6)[1]):
        result = pip(arguments, tmp_path, public, options=["--python", python])
        assert result.returncode == 0, result.stderr
    assert makers(python) == {"torch": "NVIDIA", "torchvision": "NVIDIA", "numpy": "public"}
    assert public.wheels_asked("opencv-python-headless") == []


def test_a_folder_made_as_documented_installs_without_any_index(tmp_path, public, vendor):
    shutil.copytree(CONSTRAINTS, tmp_path / "constraints")
    serve_nvidia(tmp_path, vendor, tag="py3-none-any")
    public.add("sympy", "1.14.0", "py3-none-any", "public")
    for name, version in (("cudss", "0.5.0.16"), ("cusparselt", "0.7.1")):
        public.add(f"nvidia-{name}-cu12", version, "py3-none-any", "public")
    commands = documented_commands(REPOSITORY / "docs/offline-install.md", "$ ")
    build, download, libraries, _, install, add_libraries = commands
    assert build == ["wheel", "--no-deps", "--wheel-dir", "wheels", "."]
    for command in (download, libraries):
        result = pip(command, tmp_path, public)
        assert result.returncode == 0, result.stderr
    built, wheel = make_wheel(
        "rfdetr-edge", "0.1.0", "py3-none-any", "us", requires=requires("rfdetr-edge")
    )
    (tmp_path / "wheels" / built).write_bytes(wheel)
    python = empty_environment(tmp_path)
    asked = len(public.asked), len(vendor.asked)
    for command in (install, add_libraries):
        result = pip(command, tmp_path, public, options=["--python", python])
        assert result.returncode == 0, result.stderr
    assert makers(python) == {"torch": "NVIDIA", "torchvision": "NVIDIA", "numpy": "public"}
    assert (len(public.asked), len(vendor.asked)) == asked


@pytest.mark.parametrize("extra", CUDA_EXTRAS)
def test_a_pc_gets_the_build_for_its_cuda_or_none(clone, public, vendor, extra):
    for name in ("torch", "torchvision"):
        version = str(pins(extra)[name].specifier).removeprefix("==")
        vendor.add(name, version, "cp310-cp310-manylinux_2_28_x86_64", "PyTorch")
    public.add("sympy", "1.13.1", "py3-none-any", "public")
    arguments = documented_install(extra)
    assert arguments[1:3] == ["--extra-index-url", f"https://download.pytorch.org/whl/{extra[6:]}"]
    elsewhere = [arguments[0], *arguments[3:-1], "torch"]
    result, urls = dry_run(elsewhere, clone, public, PC)
    assert result.returncode != 0
    assert f"(constraint) torch{pins(extra)['torch'].specifier}" in result.stdout
    assert urls == {}
    arguments[2] = vendor.url
    result, urls = dry_run(arguments, clone, public, PC)
    assert result.returncode == 0, result.stderr
    assert urls["torch"].startswith(vendor.address)
    assert urls["torchvision"].startswith(vendor.address)
    assert urls["opencv-python-headless"].startswith(public.address)


def empty_environment(folder: Path) -> str:
    """A new virtual environment without pip; its interpreter."""
    venv.create(folder / "venv", with_pip=False)
    return str(folder / "venv/bin/python")


def makers(python: str) -> dict[str, str]:
    """Who made the installed torch, torchvision and numpy."""
    program = (
        "import json, torch, torchvision, numpy;"
        "print(json.dumps({m.__name__: m.MAKER for m in (torch, torchvision, numpy)}))"
    )
    return json.loads(subprocess.check_output([python, "-c", program], text=True))
