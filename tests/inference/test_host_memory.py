"""Freed memory stays in the process: what the next frame needs costs no page faults."""

import ctypes
import subprocess
import sys

import pytest

from edge.inference.host_memory import keep_freed_memory

FAULTS = """
import resource, sys, threading
import numpy as np
from edge.inference.host_memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        blocks = [np.ones(1 << 20, np.float32) for _ in range(12)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def work():
    without = faults()
    assert keep_freed_memory()
    faults()
    print(without, faults())

thread = threading.Thread(target=work)  # as the inference thread, whose memory is in another arena
thread.start()
thread.join()
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_memory_that_was_used_before_costs_no_page_faults():
    made = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True, timeout=60
    )
    without, kept = map(int, made.stdout.split())
    assert without > 10 * 1024, "48 MiB a turn, in pages of 4 KiB"
    assert kept < without / 20


def test_another_c_library_is_left_alone():
    class Musl:
        pass

    assert keep_freed_memory(Musl()) is False
