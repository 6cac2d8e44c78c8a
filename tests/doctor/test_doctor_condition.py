"""How the board does: power mode, clocks, throttling, supply, heat, fan, memory."""

import pytest
from jetson.trees import CPUS, FAN, HOT_SURFACE
from machines import board, computer

from edge.doctor import condition
from edge.doctor.finding import ok

GIB = 1 << 30


@pytest.mark.parametrize(
    ("jetpack", "number", "said"),
    [
        ("6.0", 1, "7W of 15W, 7W"),
        ("6.1", 0, "15W of 15W, 7W"),
        ("6.2", 2, "MAXN_SUPER of 15W, 25W, MAXN_SUPER"),
    ],
)
def test_the_power_mode_by_name(tmp_path, jetpack, number, said):
    machine, tree = board(tmp_path, jetpack)
    tree.set_power_mode(number)
    assert list(condition.power_mode(machine)) == [ok("power mode", said)]


def test_the_clock_of_the_gpu(tmp_path):
    machine, tree = board(tmp_path)
    tree.run_gpu(900, 918_000_000)
    (finding,) = condition.clocks(machine)
    assert finding.what.startswith("918 of 1020 MHz")


def test_throttling_now(tmp_path):
    machine, tree = board(tmp_path)
    tree.cool_with(FAN, 2)
    tree.cool_with(HOT_SURFACE, 1)
    assert list(condition.throttling(machine)) == [ok("throttling", "none now")]
    tree.cool_with(CPUS, 3)
    (finding,) = condition.throttling(machine)
    assert finding.level == "warn"
    assert finding.what == f"the board slows itself down now: {CPUS}"


def test_a_supply_that_is_too_weak(tmp_path):
    machine, tree = board(tmp_path)
    assert list(condition.over_current(machine)) == [
        ok("power supply", "2 current peaks since boot (a healthy board may have some)")
    ]
    tree.count_over_current("oc3", 0)
    assert list(condition.over_current(machine)) == [
        ok("power supply", "0 current peaks since boot")
    ]
    tree.count_over_current("oc1", 3)
    (finding,) = condition.over_current(machine)
    assert finding.level == "warn"
    assert finding.what == "the voltage was too low 3 times since boot (oc1)"
    tree.count_over_current("oc2", 7)
    assert [f.what[-5:] for f in condition.over_current(machine)] == ["(oc1)", "(oc2)"]


def test_heat_near_the_trip_point(tmp_path):
    machine, tree = board(tmp_path)
    (finding,) = condition.temperature(machine)
    assert finding.level == "ok"
    assert finding.what.startswith("at most 45 °C")
    tree.heat(95.0, "gpu")
    (finding,) = condition.temperature(machine)
    assert finding.level == "warn"
    assert finding.what.endswith("gpu-thermal 95 °C, slowed at 99 °C")


def test_a_fan_that_stands_still(tmp_path):
    machine, tree = board(tmp_path)
    assert list(condition.fan(machine)) == []  # a carrier board may have none
    tree.write("sys/class/hwmon/hwmon0/pwm1", "128\n")
    tree.write("sys/class/hwmon/hwmon2/rpm", "0\n")
    assert [f.level for f in condition.fan(machine)] == ["warn"]
    tree.write("sys/class/hwmon/hwmon2/rpm", "2913\n")
    assert list(condition.fan(machine)) == [ok("fan", "2913 turns a minute")]
    tree.write("sys/class/hwmon/hwmon0/pwm1", "0\n")
    tree.write("sys/class/hwmon/hwmon2/rpm", "0\n")
    assert [f.level for f in condition.fan(machine)] == ["ok"]  # cool enough to rest


def test_memory_and_swap(tmp_path):
    machine, _ = board(tmp_path)
    assert list(condition.memory(machine, False)) == [
        ok("memory", "4.0 GiB free of 7.4 GiB, swap 3.7 GiB (zram)")
    ]


def test_too_little_memory(tmp_path):
    machine, tree = board(tmp_path)
    tree.write("proc/meminfo", "MemTotal:  7802680 kB\nMemAvailable:  1048576 kB\n")
    tree.write("proc/swaps", "Filename Type Size Used Priority\n")
    (finding,) = condition.memory(machine, False)
    assert finding.level == "warn"
    assert finding.what.startswith("1.0 GiB free of 7.4 GiB, swap none: a model may need")
    # The daemon that runs is what has taken it.
    assert [f.level for f in condition.memory(machine, True)] == ["ok"]


@pytest.mark.parametrize(
    ("limit", "used"),
    [
        ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current"),
        (
            "sys/fs/cgroup/memory/memory.limit_in_bytes",
            "sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ],
)
def test_a_containers_limit_counts(tmp_path, limit, used):
    machine, tree = computer(tmp_path)
    tree.write(limit, f"{2 * GIB}\n")
    tree.write(used, f"{GIB // 2}\n")
    (finding,) = condition.memory(machine, False)
    assert finding.what.startswith("1.5 GiB free of the container's limit")
    tree.write(limit, "max\n" if "max" in limit else f"{(1 << 63) - 4096}\n")
    (finding,) = condition.memory(machine, False)
    assert finding.what.startswith("9.0 GiB free of 15.6 GiB")


def test_a_computer_is_asked_for_its_memory_alone(tmp_path):
    machine, _ = computer(tmp_path)  # hot, and its processor slowed down: nothing of ours
    checks = (
        condition.power_mode,
        condition.clocks,
        condition.throttling,
        condition.over_current,
        condition.temperature,
        condition.fan,
    )
    assert [list(check(machine)) for check in checks] == [[]] * len(checks)
    assert [f.level for f in condition.memory(machine, False)] == ["ok"]
