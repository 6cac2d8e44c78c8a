"""Runs of pixels against the official full-resolution masks, and how ties are decided."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import bilinear, mask_runs
from edge.mask_runs import MaskRuns

HD = (1080, 1920)


def official(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    planes = torch.from_numpy(logits)[:, None]
    return (F.interpolate(planes, size=size, mode="bilinear")[:, 0] > 0).numpy()


def runs_of(masks: np.ndarray) -> list[tuple[int, int, int, int]]:
    """(object, row, start, stop) of each run, pixel by pixel."""
    found = []
    for index, row in np.argwhere(masks.any(axis=2)).tolist():
        padded = np.concatenate([[False], masks[index, row], [False]])
        ends = np.flatnonzero(padded[1:] != padded[:-1]).tolist()
        found += [(index, row, *pair) for pair in zip(ends[0::2], ends[1::2], strict=True)]
    return found


def listed(runs: MaskRuns) -> list[tuple[int, int, int, int]]:
    return list(
        zip(
            runs.index.tolist(),
            runs.row.tolist(),
            runs.start.tolist(),
            runs.stop.tolist(),
            strict=True,
        )
    )


def disc(grid: int, radius: float, hole: float = 0.0) -> np.ndarray:
    """Logits of a disc in the middle of the grid, with a round hole in it."""
    y, x = np.mgrid[:grid, :grid] + 0.5 - grid / 2
    distance = np.hypot(x, y)
    return np.minimum(radius - distance, distance - hole).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    grid=st.sampled_from([(54, 54), (9, 31), (1, 1), (300, 290)]),
    size=st.sampled_from([(360, 640), (300, 257), (256, 700), (60, 70)]),
    peak=st.sampled_from([1e-20, 1.0, 40.0]),
    rough=st.booleans(),
)
def test_runs_are_those_of_the_official_masks_in_order(
    seed: int, grid: tuple[int, int], size: tuple[int, int], peak: float, rough: bool
) -> None:
    random = np.random.default_rng(seed)
    coarse = grid if rough else (5, 5)
    fields = torch.from_numpy(random.uniform(-1, 1, size=(3, 1, *coarse)))
    logits = F.interpolate(fields, size=grid, mode="bicubic")[:, 0].numpy()
    logits = (peak * logits).astype(np.float32)
    runs = mask_runs.mask_runs(logits, size)
    assert (runs.count, runs.size) == (3, size)
    assert listed(runs) == runs_of(official(logits, size))


def test_parts_and_holes_are_runs_of_their_own() -> None:
    logits = np.stack([disc(54, 20, hole=8), np.maximum(disc(54, 4), np.roll(disc(54, 4), 15, 1))])
    runs = mask_runs.mask_runs(logits, HD)
    assert listed(runs) == runs_of(official(logits, HD))
    middle = [(k, stop > start) for k, y, start, stop in listed(runs) if y == 540]
    assert middle == [(0, True), (0, True), (1, True), (1, True)]


def test_a_mask_over_the_whole_frame_is_a_run_a_row() -> None:
    logits = np.full((1, 54, 54), 0.1, dtype=np.float32)
    runs = mask_runs.mask_runs(logits, HD)
    assert listed(runs) == [(0, y, 0, 1920) for y in range(1080)]
    (area,), (centroid,) = runs.moments()
    assert area == 1080 * 1920
    assert centroid.tolist() == [960, 540]


def test_moments_are_those_of_the_official_masks() -> None:
    random = np.random.default_rng(0)
    noise = random.normal(size=(3, 54, 54)).astype(np.float32)
    logits = np.concatenate([noise, disc(54, 9)[None], -np.ones_like(noise[:1])])
    areas, centroids = mask_runs.mask_runs(logits, HD).moments()
    masks = official(logits, HD)
    assert areas.tolist() == masks.sum(axis=(1, 2)).tolist()
    for mask, centroid in zip(masks[:-1], centroids, strict=False):
        y, x = np.nonzero(mask)
        assert centroid.tolist() == [x.sum() / len(x) + 0.5, y.sum() / len(y) + 0.5]
    assert np.isnan(centroids[-1]).all()


def test_no_objects_give_no_runs() -> None:
    for grid in [(54, 54), (0, 0)]:
        runs = mask_runs.mask_runs(np.zeros((0, *grid), dtype=np.float32), HD)
        areas, centroids = runs.moments()
        assert (len(runs.index), areas.shape, centroids.shape) == (0, (0,), (0, 2))


def test_more_squares_than_are_solved_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = np.random.default_rng(0).normal(size=(4, 54, 54)).astype(np.float32)
    monkeypatch.setattr("edge.crossings._SQUARES_AT_ONCE", 37)
    assert listed(mask_runs.mask_runs(logits, HD)) == runs_of(official(logits, HD))


def test_this_build_of_torch_can_be_asked_for_single_pixels() -> None:
    assert bilinear.separable(torch.device("cpu"))  # else every near tie costs a whole plane


def ties(rows: int, columns: int) -> np.ndarray:
    """Logits of a mask that at 315 x 315 has ``columns`` exact zeros along ``rows`` grid rows.

    315 / 30 = 10.5: a pixel centre lies midway between the cells 10 and 11, where they cancel.
    """
    logits = np.full((1, 30, 30), -5, dtype=np.float32)
    logits[0, 5 : 5 + rows, 10 : 10 + 2 * columns] = np.tile([3, -3], columns)
    return logits


@pytest.mark.parametrize(
    ("separable", "logits", "asked"),
    [
        (True, ties(2, 1), ["pixels"]),
        (True, ties(3, 1), ["plane"]),  # more rows
        (True, ties(2, 9), ["plane"]),  # more pixels
        (False, ties(2, 1), ["plane"]),
        (True, np.concatenate([ties(2, 1), ties(1, 1)[:, ::-1], disc(30, 5)[None]]), ["pixels"]),
        (True, np.concatenate([ties(2, 1), ties(9, 1), disc(30, 5)[None]]), ["pixels", "plane"]),
    ],
)
def test_a_few_ties_ask_for_pixels_and_many_for_the_plane(
    separable: bool, logits: np.ndarray, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    plane, pixels = mask_runs.official, bilinear.Resize.pixels
    expected = official(logits, (315, 315))

    def ask_pixels(*args: object) -> np.ndarray:
        calls.extend(["pixels"] * bool(len(args[2])))
        return pixels(*args)

    monkeypatch.setattr(mask_runs, "separable", lambda device: separable)
    monkeypatch.setattr(mask_runs, "official", lambda *a: calls.append("plane") or plane(*a))
    monkeypatch.setattr(bilinear.Resize, "pixels", ask_pixels)
    assert listed(mask_runs.mask_runs(logits, (315, 315))) == runs_of(expected)
    assert calls == asked


@pytest.mark.parametrize(
    ("value", "plane"),
    [(np.nan, True), (-np.inf, True), (1e31, True), (1e-40, True), (1e-20, False), (-1e-40, False)],
)
def test_only_extreme_logits_need_the_plane(
    value: float, plane: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = np.stack([disc(54, 20), disc(54, 10)])
    logits[0, 2, 3] = value
    planes: list[int] = []
    real = mask_runs.official
    monkeypatch.setattr(mask_runs, "official", lambda *a: planes.append(1) or real(*a))
    assert listed(mask_runs.mask_runs(logits, HD)) == runs_of(official(logits, HD))
    assert bool(planes) == plane
