"""``rfdetr-edge bench`` through the command line, on the demo model."""

import json
import math
import os
import signal
import subprocess
import sys

import pytest

from edge.cli import main

BENCH = ["bench", "--model", "rfdetr-seg-demo", "--device", "cpu", "--size", "320x180"]
STAGES = ["grab", "preprocess", "forward", "postprocess", "summarise", "publish"]


def numbers(content):
    """Every number in a JSON value, with its place."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from ((f"{key}.{place}", n) for place, n in numbers(value))
    elif isinstance(content, list):
        for index, value in enumerate(content):
            yield from ((f"{index}.{place}", n) for place, n in numbers(value))
    elif isinstance(content, int | float) and not isinstance(content, bool):
        yield "", content


def test_json_is_one_object_with_every_figure(capsys):
    assert main([*BENCH, "--turns", "2", "--cameras", "1,2", "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    found = json.loads(printed.out)
    assert list(found["stages"]["stages"]) == STAGES
    assert [row["cameras"] for row in found["cameras"]] == [1, 2]
    assert [row["size"] for row in found["batches"]] == [1, 2, 4]
    assert found["setting"]["model"] == "rfdetr-seg-demo"
    assert found["setting"]["size"] == [320, 180]
    assert found["frame_size"]["own_size"] == [216, 216]
    assert found["limit"]["useful_gflop"] == pytest.approx(1.4, abs=0.1)

    may_be_0 = {"load", "seed", "objects", "other_work_cores", "slower_percent", "least_fps"}
    for place, number in numbers(found):
        assert math.isfinite(number), place
        if not may_be_0 & set(place.split(".")):
            assert number > 0, place
    for spread in (found["stages"]["whole"], found["capture"]["with_capture"]):
        assert spread["least_ms"] <= spread["p50_ms"] <= spread["p95_ms"]
    stages = sum(found["stages"]["stages"][stage]["least_ms"] for stage in STAGES[1:])
    assert stages <= found["stages"]["whole"]["least_ms"]
    two = found["cameras"][1]
    assert two["least_fps"] + two["most_fps"] == pytest.approx(two["frames_per_s"])


def test_text_has_every_part(capsys):
    assert main([*BENCH, "--turns", "1", "--cameras", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    starts = {line[:22].strip() for line in lines}
    wanted = {*STAGES, "whole frame", "matrix product", "forward", "ratio", "slower by"}
    assert wanted <= starts
    assert any(line.startswith("versions") and "PyAV" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--against", "rfdert"], 2, "--against is 'rfdert' (did you mean 'rfdetr'?)"),
        (["--against", "onnx"], 2, "not one of rfdetr, inference-models"),
        (["--against", "rfdetr"], 1, "rfdetr has no environment to run in: --install makes one"),
        (["--against", "rfdetr", "--python", "rfdetr=/none"], 2, "/none is not a program"),
        (["--against", "rfdetr", "--python", "/none"], 2, "not NAME=PATH"),
        (["--python", "rfdetr=/bin/sh"], 2, "names rfdetr, which is not in --against"),
        (["--size", "1920"], 2, "not WIDTHxHEIGHT"),
        (["--size", "1921x1080"], 2, "sides are even numbers of 64 to 3840"),
        (["--turns", "0"], 2, "--turns is 0, not 1 to 1000000"),
        (["--seed", "4294967296"], 2, "--seed is 4294967296, not 0 to 4294967295"),
        (["--install"], 2, "--install and --torch-index are for --against, which names nobody"),
        (["--against", "", "--torch-index", "x"], 2, "are for --against, which names nobody"),
        (
            ["--against", "rfdetr", "--python", "rfdetr=/bin/false"],
            1,
            "--python rfdetr: /bin/false is no Python that has rfdetr",
        ),
        (["--cameras", "1,x"], 2, "not a list of 1 to 64"),
        (["--precision", "fp8"], 2, "--precision is 'fp8'"),
        (["--seed", "-1"], 2, "--seed is -1"),
        (["--device", "gpu"], 78, "not auto, cpu, cuda or cuda:N"),
        (["--model", "."], 78, ".: is not a file"),
        (["--model", "rfdetr-seg-nanno"], 78, "neither a file nor a model id"),
        (["--model-type", "rfdetr-seg-nan"], 2, "did you mean 'rfdetr-seg-nano'?"),
        (["--model-type", "rfdetr-seg-nano"], 2, "contradicts --model"),
    ],
)
def test_a_mistake_gets_one_sentence(tmp_path, monkeypatch, capsys, arguments, code, sentence):
    monkeypatch.delenv("CACHE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main([*BENCH, *arguments]) == code
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_sigterm_leaves_nothing_behind(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "edge", *BENCH, "--turns", "1000"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("device")  # it measures from here on
    assert list(tmp_path.iterdir())
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (1, "rfdetr-edge: interrupted\n")
    assert list(tmp_path.iterdir()) == []
