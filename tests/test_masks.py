"""Full-resolution masks against the official operation, bit for bit."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge.masks import full_masks, resize_masks

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
HD = (1080, 1920)


def official(logits: np.ndarray, size: tuple[int, int], device: str = "cpu") -> np.ndarray:
    planes = torch.from_numpy(logits)[:, None].to(device)
    resized = F.interpolate(planes, size=size, mode="bilinear", align_corners=False)
    return (resized[:, 0] > 0).cpu().numpy()


def smooth_fields(seed: int, count: int, grid: tuple[int, int], peak: float) -> np.ndarray:
    """Random fields that cross 0 in long curves: as many pixels near 0 as a mask can have."""
    coarse = torch.from_numpy(np.random.default_rng(seed).normal(size=(count, 1, 7, 7)))
    fields = F.interpolate(coarse, size=grid, mode="bicubic")[:, 0].numpy()
    return (fields / np.abs(fields).max(axis=(1, 2), keepdims=True) * peak).astype(np.float32)


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("grid", "size"),
    [
        ((54, 54), (360, 640)),
        ((108, 108), (720, 1280)),
        ((78, 78), HD),
        ((108, 78), (1920, 1080)),
        ((108, 108), (2160, 3840)),
        ((108, 108), (432, 432)),
        ((13, 40), (256, 257)),
        ((1, 9), (300, 400)),
        ((9, 1), (300, 400)),
        ((1, 1), (300, 400)),
        ((300, 500), (300, 500)),
        ((301, 299), (260, 280)),  # the frame is smaller than the grid
        ((700, 900), (260, 300)),  # … so much that whole cells are skipped
        ((108, 108), (255, 3000)),
        ((108, 108), (40, 60)),
        ((54, 54), (64, 64)),  # torch takes another kernel up to here
        ((54, 54), (64, 65)),
        ((54, 54), (1, 1)),
        ((54, 54), (1, 700)),
        ((54, 54), (700, 1)),
    ],
)
def test_equals_the_official_masks(
    grid: tuple[int, int], size: tuple[int, int], device: str, threads: int
) -> None:
    fields = smooth_fields(sum(grid), 3, grid, peak=40.0)
    noise = np.random.default_rng(1).normal(size=(1, *grid)).astype(np.float32)
    half = fields[:1].astype(np.float16).astype(np.float32)  # as a half-precision network sends
    logits = np.concatenate([fields, noise, half, fields[1:2] - 25])
    assert np.array_equal(full_masks(logits, size, device), official(logits, size, device))


@pytest.mark.parametrize("peak", [1e-38, 1e-30, 1e-3, 0.5, 4.0, 1e4, 1e38])
def test_equals_the_official_masks_at_any_magnitude(peak: float) -> None:
    logits = smooth_fields(3, 4, (54, 54), peak)
    assert np.array_equal(full_masks(logits, (360, 640)), official(logits, (360, 640)))


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=9),
        elements=st.floats(width=32) | st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0, 3.0]),
    ),
    st.integers(256, 330),
    st.integers(256, 330),
)
def test_equals_the_official_masks_for_any_logits(
    logits: np.ndarray, height: int, width: int
) -> None:
    expected = official(logits, (height, width))
    assert np.array_equal(full_masks(logits, (height, width)), expected)


def near_ties(count: int, blocks: int, size: tuple[int, int], scale: float) -> np.ndarray:
    """Planes with blocks of 2 x 2 cells whose fourth cell makes a pixel between them nearly 0."""
    random = np.random.default_rng(blocks)
    grid = 40
    logits = np.full((count, grid, grid), -4, dtype=np.float32)
    for plane in logits:
        for place in random.choice((grid // 3) ** 2, blocks, replace=False):
            row, column = 3 * (place // (grid // 3)), 3 * (place % (grid // 3))
            # The source coordinates of a pixel that lies in the block.
            y = (
                (math.ceil((row + 0.5) * size[0] / grid) + random.integers(3) + 0.5)
                * grid
                / size[0]
            )
            x = (
                (math.ceil((column + 0.5) * size[1] / grid) + random.integers(3) + 0.5)
                * grid
                / size[1]
            )
            fy, fx = y - 0.5 - row, x - 0.5 - column
            a, b, c = random.uniform(-1, 1, 3).astype(np.float32)
            d = -((1 - fy) * ((1 - fx) * a + fx * b) + fy * (1 - fx) * c) / (fy * fx)
            plane[row : row + 2, column : column + 2] = np.array([[a, b], [c, d]]) * scale
    return logits


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("scale", [1.0, 1e-12, 1e-38, 1e-41])
@pytest.mark.parametrize("blocks", [20, 160])
@pytest.mark.parametrize("size", [(360, 640), (257, 997)])
def test_near_ties_are_decided_as_the_official_operation_does(
    size: tuple[int, int], blocks: int, scale: float, device: str
) -> None:
    # Here our own sum and the official one have different signs in many a pixel.
    logits = near_ties(12, blocks, size, scale)
    assert np.array_equal(full_masks(logits, size, device), official(logits, size, device))
    logits *= 1e-37
    assert np.array_equal(full_masks(logits, size, device), official(logits, size, device))


def test_a_mask_without_a_positive_cell_is_empty() -> None:
    logits = np.full((2, 54, 54), -0.1, dtype=np.float32)
    logits[1] = 0
    crops = resize_masks(logits, HD)
    assert [crop.mask.size for crop in crops] == [0, 0]
    assert not full_masks(logits, HD).any()


def test_an_all_positive_mask_fills_the_frame() -> None:
    (crop,) = resize_masks(np.full((1, 54, 54), 0.1, dtype=np.float32), HD)
    assert (crop.x, crop.y, crop.mask.shape) == (0, 0, HD)
    assert crop.mask.all()


def test_no_objects_give_no_masks() -> None:
    assert resize_masks(np.zeros((0, 54, 54), dtype=np.float32), HD) == []
    assert full_masks(np.zeros((0, 54, 54), dtype=np.float32), HD).shape == (0, *HD)
    assert full_masks(np.zeros((0, 0, 0), dtype=np.float32), HD).shape == (0, *HD)


def test_a_crop_is_the_extent_of_its_mask() -> None:
    logits = np.full((1, 108, 108), -1, dtype=np.float32)
    logits[0, 50, 70] = 1
    logits[0, 53, 72:75] = 1
    (crop,) = resize_masks(logits, HD)
    y, x = np.nonzero(official(logits, HD)[0])
    assert (crop.y, crop.x) == (y.min(), x.min())
    assert crop.mask.shape == (np.ptp(y) + 1, np.ptp(x) + 1)
    inside_y, inside_x = np.nonzero(crop.mask)
    assert np.array_equal(inside_y + crop.y, y)
    assert np.array_equal(inside_x + crop.x, x)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("cell", [(20, 20), (20, 22), (0, 53)])
def test_logits_that_are_not_finite_are_treated_as_the_official_operation_does(
    value: float, cell: tuple[int, int]
) -> None:
    logits = np.full((1, 54, 54), -2, dtype=np.float32)
    logits[0, 18:24, 18:24] = 2
    logits[0][cell] = value
    for size in [(360, 640), (100, 100)]:
        assert np.array_equal(full_masks(logits, size), official(logits, size))
