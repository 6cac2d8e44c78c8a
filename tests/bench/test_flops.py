"""The useful work of a frame, against what was counted in the official networks' graphs."""

import pytest

from edge.bench.flops import useful_gflop
from edge.rfdetr.variants import VARIANTS

COUNTED = {
    "rfdetr-seg-nano": 45.6,
    "rfdetr-seg-small": 64.2,
    "rfdetr-seg-preview": 85.8,
    "rfdetr-seg-medium": 88.2,
    "rfdetr-seg-large": 125.3,
    "rfdetr-seg-xlarge": 218.4,
    "rfdetr-seg-2xlarge": 373.5,
}


@pytest.mark.parametrize(("name", "gflop"), COUNTED.items())
def test_useful_gflop_is_what_the_official_graph_has(name, gflop):
    variant = VARIANTS[name]
    assert useful_gflop(variant, variant.resolution, 91) == pytest.approx(gflop, abs=0.05)


def test_it_grows_with_resolution_and_rows():
    nano = VARIANTS["rfdetr-seg-nano"]
    assert useful_gflop(nano, 624, 91) > 4 * useful_gflop(nano, 312, 91)
    assert useful_gflop(nano, 312, 92) > useful_gflop(nano, 312, 91)
