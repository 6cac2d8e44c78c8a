"""Our own side against stand-ins for other packages."""

import sys

import pytest

from edge.bench.opponents import FOLDER, Opponent
from edge.bench.options import BenchError
from edge.bench.scene import scene
from edge.bench.subject import ModelChoice, Subject
from edge.bench.versus import check_comparable, measure_against

SCRIPT = """\
import json, sys
sys.path.insert(0, {folder!r})
from worker_loop import serve

class Side:
    versions = {{"stand-in": "1", "torch": "2"}}

    def __init__(self, settings):
        if settings["optimised"]:
            sys.exit("it cannot be optimised")
        assert settings["dtype"] == "float32"
        assert settings["resolution"] == 216

    def run(self, constructed):
        return (1.0, 0.0 if constructed else 10.0, 2.0, 3.0 if constructed else 13.0), 7

serve(Side)
"""


@pytest.fixture
def subject(tmp_path):
    choice = ModelChoice("rfdetr-seg-demo", None, None, "cpu", "fp32", "plain", False, 0)
    return Subject(choice, tmp_path)


def test_both_sides_have_figures_and_a_failed_one_a_reason(subject, tmp_path):
    script = tmp_path / "side.py"
    script.write_text(SCRIPT.format(folder=str(FOLDER)))
    opponents = {"stand-in": Opponent("1", "none", (), script)}
    image = scene((320, 180), 0)[0]
    pythons = {"stand-in": sys.executable}
    versus = measure_against(subject, image, pythons, 2, lambda _: None, opponents)

    ours, theirs = versus.sides
    assert [ours.name, theirs.name] == ["rfdetr-edge", "stand-in eager"]
    assert ours.precision == "float32"
    assert ours.found_constructed == 20
    assert (theirs.figures.preprocess, theirs.figures.forward) == (1000, 10000)
    assert (theirs.figures.pre_and_post, theirs.figures.total) == (3000, 13000)
    assert theirs.figures.whole_frame == 13000
    assert theirs.found == 7
    assert ours.ours_to_this.total == 1
    assert 0 < theirs.ours_to_this.total < 1
    ratio = ours.figures.forward / theirs.figures.forward
    assert theirs.ours_to_this.forward == pytest.approx(ratio)  # two rounds of one turn
    assert list(versus.failed) == ["stand-in traced"]
    assert "ended with 1: it cannot be optimised" in versus.failed["stand-in traced"]


def test_the_demo_model_is_nothing_for_others(subject):
    with pytest.raises(BenchError, match="the other packages cannot load it"):
        check_comparable(subject)
