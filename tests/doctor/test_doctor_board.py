"""Which machine this is: board, JetPack, Python, the package itself."""

import pytest
from machines import computer, jetson

from edge.doctor import board
from edge.doctor.finding import fail, ok, warn


@pytest.mark.parametrize(
    ("jetpack", "said"),
    [
        ("6.0", "JetPack 6.0, L4T 36.3.0"),
        ("6.1", "JetPack 6.1, L4T 36.4.0"),
        ("6.2", "JetPack 6.2, L4T 36.4.3"),
    ],
)
def test_jetpack_6_is_what_it_is_made_for(tmp_path, jetpack, said):
    machine, _ = jetson(tmp_path, jetpack)
    assert list(board.release(machine)) == [ok("jetpack", said)]


@pytest.mark.parametrize(
    ("release", "said"),
    [
        ("R35 (release), REVISION: 4.1", "JetPack 5, L4T 35.4.1"),
        ("R38 (release), REVISION: 2.0", "JetPack 7, L4T 38.2.0"),
        ("R32 (release), REVISION: 7.1", "JetPack 4, L4T 32.7.1"),
        ("R99 (release), REVISION: 1.0", "JetPack of unknown version, L4T 99.1.0"),
    ],
)
def test_other_jetpacks_are_untested(tmp_path, release, said):
    machine, tree = jetson(tmp_path)
    tree.write("etc/nv_tegra_release", f"# {release}, GCID: 1, BOARD: generic\n")
    (finding,) = board.release(machine)
    assert finding.level == "warn"
    assert finding.what.startswith(f"{said}: untested")


def test_a_container_that_does_not_see_the_release(tmp_path):
    machine, tree = jetson(tmp_path)
    tree.remove("etc/nv_tegra_release")
    tree.write("proc/device-tree/compatible", "nvidia,p3768-0000+p3767-0005\0nvidia,tegra234\0")
    (finding,) = board.release(machine)
    assert (finding.level, finding.subject) == ("warn", "jetpack")
    assert "-v /etc/nv_tegra_release" in finding.fix


def test_the_board_by_its_own_name(tmp_path):
    machine, tree = jetson(tmp_path)
    name = "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super"
    assert list(board.board(machine)) == [ok("board", name)]
    tree.write("proc/device-tree/model", "NVIDIA Jetson Xavier NX Developer Kit\0")
    (finding,) = board.board(machine)
    assert finding.level == "warn"
    tree.remove("proc/device-tree/model")
    (finding,) = board.board(machine)
    assert finding.level == "warn"


def test_a_plain_computer_is_said_in_one_line(tmp_path):
    machine, _ = computer(tmp_path)
    (finding,) = board.board(machine)
    assert finding.level == "ok"
    assert "not a Jetson" in finding.what
    assert list(board.release(machine)) == []


@pytest.mark.parametrize(
    ("version", "level"),
    [((3, 9), "warn"), ((3, 10), "ok"), ((3, 13), "ok"), ((3, 14), "warn")],
)
def test_python_on_a_computer(tmp_path, version, level):
    machine, _ = computer(tmp_path, python=version)
    assert [finding.level for finding in board.python(machine)] == [level]


@pytest.mark.parametrize(("version", "level"), [((3, 10), "ok"), ((3, 11), "warn")])
def test_on_a_jetson_the_wheels_are_for_python_310_alone(tmp_path, version, level):
    machine, _ = jetson(tmp_path, python=version)
    assert [finding.level for finding in board.python(machine)] == [level]


def test_packages_that_are_missing_are_named(monkeypatch):
    (finding,) = board.packages()
    assert finding == ok("packages", finding.what)
    required = ["av>=17", "no-such-package (>=1)", "other.one<2", "torch>=2; extra == 'torch-cpu'"]
    monkeypatch.setattr(board.metadata, "requires", lambda name: required)
    assert list(board.packages()) == [
        fail(
            "packages",
            "missing: no-such-package, other.one",
            "pip install no-such-package other.one",
        )
    ]


def test_a_source_folder_without_an_installation(monkeypatch):
    monkeypatch.setattr(board, "DISTRIBUTION", "not-installed-anywhere")
    (finding,) = board.packages()
    assert finding == warn("packages", finding.what, finding.fix)
