"""What is read of the machine, from folders that look like other machines' ``/``."""

import torch

from edge.bench.environments import requirements
from edge.bench.machine import cpu_model, describe, physical_cores, power_mode

CPUINFO = """\
processor\t: {n}
model name\t: Some CPU @ 2 GHz
physical id\t: 0
core id\t\t: {core}

"""


def test_hyper_threads_are_no_cores():
    text = "".join(CPUINFO.format(n=n, core=n % 2) for n in range(4))
    assert cpu_model(text) == "Some CPU @ 2 GHz"
    assert physical_cores(text) == 2
    assert physical_cores("processor\t: 0\nCPU part\t: 0xd42\n") is None


def test_the_power_mode_of_a_jetson_before_that_of_its_cpu(tmp_path):
    governor = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    governor.parent.mkdir(parents=True)
    governor.write_text("schedutil\n")
    assert power_mode(tmp_path) == "CPU governor schedutil"
    status = tmp_path / "var/lib/nvpmodel/status"
    status.parent.mkdir(parents=True)
    status.write_text("pmode:0002 fmode:quiet\n")
    assert power_mode(tmp_path) == "nvpmodel 2"


def test_machine_of_a_folder(tmp_path):
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_text("NVIDIA Jetson Orin Nano\0")
    (tmp_path / "proc/loadavg").write_text("63.20 0.54 0.78 2/271 12345\n")
    machine = describe(torch.device("cpu"), tmp_path)
    assert machine.board == "NVIDIA Jetson Orin Nano"
    assert machine.load == 63.2
    assert machine.busy
    assert machine.gpu is None
    assert machine.l4t is None
    assert machine.power_mode is None
    assert machine.versions["torch"] == torch.__version__


def test_an_environment_gets_our_torch_and_pinned_packages():
    first, second = requirements("rfdetr")
    assert first[0] == f"torch=={torch.__version__.split('+')[0]}"
    assert second[2:] == ["rfdetr==1.11.2", "transformers==5.20.2"]
