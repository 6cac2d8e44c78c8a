"""The checklist for a GPU, without one: its list, its verdicts, its table."""

import sys
import time
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[2] / "bench"))
import gpu_check
from gpu_facts import Trace, read_trace
from gpu_sitting import Check, Failed, Result, Sitting, Skip, run, table

PAGE = f"# A page\n\nBefore.\n\n{gpu_check.BEGIN}\n\nold\n\n{gpu_check.END}\n\nAfter.\n"


def sitting(folder: Path, minutes: float = 1) -> Sitting:
    return Sitting(("rfdetr-seg-nano",), (), folder, time.monotonic() + 60 * minutes)


def skips(_: Sitting) -> str:
    raise Skip("nothing to do it with")


def fails(_: Sitting) -> str:
    raise Failed("two is not one")


def breaks(_: Sitting) -> str:
    raise RuntimeError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA")


def test_list_names_every_check_once(capsys):
    assert gpu_check.main(["--list", "--model-type", "rfdetr-seg-nano"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert len(names) == len(set(names)) == 19
    for name in ("replay", "waits", "allocations", "busy", "speed-nano", "out-of-memory"):
        assert name in names


def test_only_the_checks_asked_for(capsys):
    assert gpu_check.main(["--list", "--only", "swap", "soak"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["swap", "soak"]


def test_without_a_gpu_one_sentence_and_no_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    page = tmp_path / "gpu.md"
    page.write_text(PAGE)
    assert gpu_check.main(["--write", str(page)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"torch {torch.__version__} finds no CUDA device: nothing to check\n"
    assert page.read_text() == PAGE


def test_a_check_that_breaks_is_a_failure_and_stops_no_other(tmp_path):
    checks = [
        Check("one", "of one", breaks),
        Check("two", "of two", fails),
        Check("three", "of three", skips),
        Check("four", "of four", lambda _: "found  it\nall"),
    ]
    results = list(run(checks, sitting(tmp_path)))
    assert [(r.name, r.verdict, r.findings) for r in results] == [
        (
            "one",
            "fail",
            "RuntimeError: CUDA error: out of memory Compile with TORCH_USE_CUDA_DSA",
        ),
        ("two", "fail", "two is not one"),
        ("three", "skipped", "nothing to do it with"),
        ("four", "ok", "found it all"),
    ]


def test_no_check_begins_when_the_time_is_up(tmp_path):
    checks = [Check("one", "of one", lambda _: "made")]
    results = list(run(checks, sitting(tmp_path, minutes=0)))
    assert [r.verdict for r in results] == ["skipped"]


def test_table_is_written_between_the_markers(tmp_path):
    page = tmp_path / "gpu.md"
    page.write_text(PAGE)
    results = [
        Result("replay", "graph against eager", "ok", "bit | for | bit", 3.4),
        Result("busy", "device busy", "fail", "71 %", 6.0),
    ]
    for _ in range(2):
        gpu_check.write(page, table(["device: Orin", "driver: 540.4"], results))
    assert page.read_text() == (
        f"# A page\n\nBefore.\n\n{gpu_check.BEGIN}\n\n"
        "- device: Orin\n"
        "- driver: 540.4\n"
        "\n"
        "| check | of | verdict | findings | s |\n"
        "|---|---|---|---|---|\n"
        "| replay | graph against eager | ok | bit \\| for \\| bit | 3 |\n"
        "| busy | device busy | **fail** | 71 % | 6 |\n"
        f"\n{gpu_check.END}\n\nAfter.\n"
    )


def test_a_page_without_markers_is_refused_before_the_sitting(tmp_path):
    page = tmp_path / "gpu.md"
    page.write_text("# A page\n")
    options = gpu_check.read_options(["--write", str(page)])
    begun = []
    with pytest.raises(ValueError, match="has no <!-- gpu results -->"):
        gpu_check.sit(options, [Check("one", "of one", lambda _: str(begun.append(1)))], [])
    assert begun == []


def test_a_sitting_says_whether_all_went_well(tmp_path, capsys):
    page = tmp_path / "gpu.md"
    page.write_text(PAGE)
    options = gpu_check.read_options(["--write", str(page)])
    well = [Check("one", "of one", lambda _: "made"), Check("two", "of two", skips)]
    assert gpu_check.sit(options, well, ["device: none"])
    assert not gpu_check.sit(options, [Check("three", "of three", breaks), *well], ["device: none"])
    assert "| three | of three | **fail** |" in page.read_text()
    assert capsys.readouterr().out.count("device: none") == 2


def test_the_page_that_is_shipped_can_be_written():
    page = (Path(__file__).parents[2] / "docs" / "gpu.md").read_text(encoding="utf-8")
    assert page.count(gpu_check.BEGIN) == page.count(gpu_check.END) == 1


def test_busy_is_the_union_of_kernels():
    events = [
        {"cat": "kernel", "name": "void at::native::add<float>(int)", "ts": 0.0, "dur": 4.0},
        {"cat": "kernel", "name": "flash_fwd_kernel", "ts": 2.0, "dur": 3.0},
        {"cat": "kernel", "name": "flash_fwd_kernel", "ts": 9.0, "dur": 1.0},
        {"cat": "cpu_op", "name": "aten::add", "ts": 5.0, "dur": 4.0},
    ]
    seen = Trace(read_trace(events))
    assert seen.busy == 0.6
    assert seen.named("flash") == {"flash_fwd_kernel"}
    assert seen.longest(1) == [("add", 0.5)]
