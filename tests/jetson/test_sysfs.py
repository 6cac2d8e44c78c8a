"""What is read from a Jetson's files, and that whatever they hold breaks nothing."""

import os
from pathlib import Path

import pytest
from trees import GPU, MODES, OVER_CURRENT, POWER, RELEASES, THERMAL, orin, pc

from edge.jetson import is_jetson, sysfs

READERS = (
    *(sysfs.board_model, sysfs.l4t_release, sysfs.power_mode, sysfs.gpu_load, sysfs.gpu_clock),
    *(sysfs.thermal_zones, sysfs.cooling_devices, sysfs.over_current, sysfs.power_rails),
    sysfs.memory,
)


@pytest.mark.parametrize("jetpack", RELEASES)
def test_an_orin_tells_what_it_is(tmp_path, jetpack):
    tree = orin(tmp_path, jetpack)
    assert is_jetson(tmp_path)
    assert (sysfs.board_model(tmp_path) or "").startswith("NVIDIA Jetson Orin Nano Engineering")
    assert sysfs.l4t_release(tmp_path) == RELEASES[jetpack]
    tree.set_power_mode(len(MODES[jetpack]) - 1)
    assert sysfs.power_mode(tmp_path) == MODES[jetpack][-1]


def test_a_power_mode_without_a_name_is_a_number(tmp_path):
    tree = orin(tmp_path)
    tree.set_power_mode(12)
    assert sysfs.power_mode(tmp_path) == "12"
    tree.remove("var/lib/nvpmodel/status")
    assert sysfs.power_mode(tmp_path) is None


def test_gpu_load_and_clock_have_plain_units(tmp_path):
    orin(tmp_path).run_gpu(625, 918_000_000)
    assert sysfs.gpu_load(tmp_path) == 0.625
    assert sysfs.gpu_clock(tmp_path) == sysfs.GpuClock(918_000_000, 1_020_000_000, "nvhost_podgov")


@pytest.mark.parametrize(
    "kept", [f"{GPU}/load", "sys/devices/platform/gpu.0/load", "sys/devices/gpu.0/load"]
)
def test_the_gpu_load_is_found_wherever_a_jetpack_has_it(tmp_path, kept):
    sysfs_file = tmp_path / kept
    sysfs_file.parent.mkdir(parents=True)
    sysfs_file.write_text("1000\n")
    assert sysfs.gpu_load(tmp_path) == 1.0


def test_the_kernel_slows_an_orin_at_99_degrees_and_only_warns_at_70(tmp_path):
    orin(tmp_path).heat(61.5, "gpu")
    zones = {zone.name: zone for zone in sysfs.thermal_zones(tmp_path)}
    assert list(zones)[:2] == ["cpu-thermal", "gpu-thermal"]
    assert zones["gpu-thermal"].celsius == 61.5
    assert zones["gpu-thermal"].throttles_at_c == 99.0
    assert zones["tj-thermal"].throttles_at_c is None, "a fan does not slow the board"
    trips = {(trip.kind, trip.celsius): trip.slows for trip in zones["gpu-thermal"].trips}
    assert trips == {("passive", 99.0): True, ("critical", 104.5): False, ("passive", 70.0): False}


def test_a_zone_without_power_has_no_temperature(tmp_path):
    tree = orin(tmp_path)
    zones = {zone.name: zone.celsius for zone in sysfs.thermal_zones(tmp_path)}
    assert (zones["cv0-thermal"], zones["soc0-thermal"]) == (None, 45.0)
    tree.heat(-256.0, "soc0")
    zones = {zone.name: zone.celsius for zone in sysfs.thermal_zones(tmp_path)}
    assert zones["soc0-thermal"] is None


def test_fans_and_the_warning_for_fingers_are_not_throttling(tmp_path):
    tree = orin(tmp_path)
    for device in ("pwm-fan", "hot-surface-alert", "gpu-throttle-alert"):
        tree.cool_with(device, 1)
    busy = [device for device in sysfs.cooling_devices(tmp_path) if device.state]
    assert [(device.name, device.slows) for device in busy] == [
        ("pwm-fan", False),
        ("hot-surface-alert", False),
        ("gpu-throttle-alert", True),
    ]


def test_over_current_events_are_counted_by_cause(tmp_path):
    tree = orin(tmp_path)
    tree.count_over_current("oc1", 7)
    tree.write(f"{OVER_CURRENT}/oc2_throt_en", "0\n")
    assert sysfs.over_current(tmp_path) == [
        sysfs.OverCurrent("oc1", 7, True),
        sysfs.OverCurrent("oc2", 0, False),
        sysfs.OverCurrent("oc3", 2, True),
    ]


def test_power_is_measured_by_rail(tmp_path):
    orin(tmp_path)
    rails = {rail.name: rail.watts for rail in sysfs.power_rails(tmp_path)}
    assert rails == {"VDD_IN": pytest.approx(9.250304), "VDD_CPU_GPU_CV": pytest.approx(1.9904)}


def test_memory_is_in_bytes(tmp_path):
    orin(tmp_path)
    assert sysfs.memory(tmp_path) == sysfs.Memory(7802680 * 1024, 4 << 30)


def test_an_empty_computer_says_nothing(tmp_path):
    assert [read(tmp_path) for read in READERS if read(tmp_path) not in (None, [])] == []


def test_a_pc_has_no_jetson_files(tmp_path):
    pc(tmp_path)
    assert not is_jetson(tmp_path)
    assert sysfs.gpu_load(tmp_path) is None
    assert sysfs.gpu_clock(tmp_path) is None
    assert sysfs.over_current(tmp_path) == []
    assert sysfs.power_rails(tmp_path) == []
    assert sysfs.thermal_zones(tmp_path)[0].throttles_at_c is None


@pytest.mark.parametrize(
    "content", ["", "\n", "n/a\n", "12 mA\n", "\0\0\0", "9" * 400, "-1\n", "½\n"]
)
def test_garbage_breaks_no_reader(tmp_path, content):
    orin(tmp_path)
    for file in plain_files(tmp_path):
        file.write_text(content)
    for read in READERS:
        read(tmp_path)
    assert sysfs.gpu_load(tmp_path) is None
    assert sysfs.over_current(tmp_path) == []
    assert sysfs.power_rails(tmp_path) == []


def test_files_that_turn_into_folders_break_no_reader(tmp_path):
    orin(tmp_path)
    for file in plain_files(tmp_path):
        file.unlink()
        file.mkdir()
    for read in READERS:
        assert read(tmp_path) in (None, [], sysfs.GpuClock(None, None, None))


def plain_files(root: Path) -> list[Path]:
    return [file for file in root.rglob("*") if file.is_file() and not file.is_symlink()]


def test_a_file_that_answers_eagain_or_eio_is_left_out(tmp_path):
    tree = orin(tmp_path)
    temperature = tmp_path / THERMAL / "thermal_zone1/temp"
    temperature.unlink()
    os.mkfifo(temperature)
    writer = os.open(temperature, os.O_RDWR)  # somebody might write: EAGAIN instead of the end
    try:
        with pytest.raises(BlockingIOError):
            os.read(os.open(temperature, os.O_RDONLY | os.O_NONBLOCK), 1)
        assert sysfs.thermal_zones(tmp_path)[1].celsius is None
    finally:
        os.close(writer)
    tree.remove(f"{POWER}/in1_input")
    (tmp_path / POWER / "in1_input").symlink_to("/proc/self/mem")  # reading it fails with EIO
    assert [rail.name for rail in sysfs.power_rails(tmp_path)] == ["VDD_CPU_GPU_CV"]
