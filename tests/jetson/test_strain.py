"""When a board counts as throttled or nearly so, told from its files."""

import pytest
from trees import GPU_LIMIT, HOT_SURFACE, OVER_CURRENT, ZONES, Orin, Tree, orin, pc

from edge.jetson.strain import BoardWatch, Strain


class Bench:
    """A board, and who looks at it once a second."""

    def __init__(self, tree: Tree) -> None:
        self.watch, self.now_s = BoardWatch(tree.root), 0.0

    def look(self) -> Strain:
        self.now_s += 1
        return self.watch.look(self.now_s)


@pytest.fixture
def board(tmp_path) -> Orin:
    return orin(tmp_path)


@pytest.fixture
def bench(board) -> Bench:
    return Bench(board)


def test_a_board_at_rest_is_under_no_strain(bench):
    strain = bench.look()
    assert (strain.reason, strain.throttles) == ("", False)
    assert (strain.celsius, strain.headroom_c) == (45.0, 54.0)


def test_a_zone_five_degrees_below_its_trip_point_is_near_it(board, bench):
    board.heat(93.9, "gpu")
    assert bench.look().reason == ""
    board.heat(94.5, "gpu")
    strain = bench.look()
    assert strain.reason == "GPU at 94.5 °C, throttling at 99"
    assert not strain.throttles


def test_the_zone_nearest_to_its_own_trip_point_counts(board, bench):
    board.heat(80.0)
    board.write("sys/class/thermal/thermal_zone0/trip_point_0_temp", "84000\n")
    assert bench.look().reason == "CPU at 80.0 °C, throttling at 84"


def test_a_kernel_that_lowers_clocks_is_throttling(board, bench):
    board.heat(99.5, "gpu")
    board.cool_with(GPU_LIMIT, 2)
    strain = bench.look()
    assert strain.reason == (
        "throttled by the kernel (devfreq-17000000.gpu), GPU at 99.5 °C, throttling at 99"
    )
    assert strain.throttles
    assert not strain.by_current_alone


def test_fan_and_hot_surface_are_no_strain(board, bench):
    board.heat(75.0)
    board.cool_with("pwm-fan", 3)
    board.cool_with(HOT_SURFACE, 1)
    assert bench.look().reason == ""


def test_over_current_before_the_start_is_no_strain(board, bench):
    board.count_over_current("oc3", 27_390)
    assert [bench.look().reason for _ in range(20)] == [""] * 20


def test_a_single_over_current_is_no_strain_but_the_next_one_soon_after_is(board, bench):
    bench.look()
    board.count_over_current("oc3", 3)
    assert bench.look().reason == ""
    board.count_over_current("oc3", 4)
    strain = bench.look()
    assert strain.reason == "throttled by instantaneous over-current (oc3)"
    assert (strain.throttles, strain.by_current_alone) == (True, True)
    reasons = [bench.look().reason for _ in range(10)]
    assert (reasons[0] != "", reasons[-1]) == (True, ""), "it is over ten seconds later"


def test_a_counter_that_starts_anew_is_no_event(board, bench):
    bench.look()
    board.count_over_current("oc3", 0)
    assert bench.look().reason == ""
    board.count_over_current("oc3", 5)
    assert bench.look().throttles


def test_over_current_that_the_hardware_does_not_act_upon_is_no_strain(board, bench):
    board.write(f"{OVER_CURRENT}/oc1_throt_en", "0\n")
    bench.look()
    board.count_over_current("oc1", 50)
    assert bench.look().reason == ""


def test_heat_beside_over_current_is_not_by_current_alone(board, bench):
    bench.look()
    board.count_over_current("oc2", 9)
    board.heat(96.0, "soc0")
    strain = bench.look()
    assert strain.reason == (
        "throttled by average over-current (oc2), SOC0 at 96.0 °C, throttling at 99"
    )
    assert not strain.by_current_alone


def test_sensors_that_answer_nothing_are_no_strain(board, bench):
    for number in range(len(ZONES) + 1):
        (board.root / f"sys/class/thermal/thermal_zone{number}/temp").unlink()
    assert bench.look() == Strain()


def test_a_hot_pc_is_no_board(tmp_path):
    assert Bench(pc(tmp_path)).look() == Strain()
