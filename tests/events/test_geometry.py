"""Polygons against the official full-resolution masks, run lengths against COCO's own reader."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jsonschema import Draft202012Validator
from pycocotools import mask as coco

from edge.bench.objects import blobs
from edge.clock import Timestamp
from edge.detections import Detections
from edge.events.geometry import Part, geometry, grid_rle, polygons
from edge.events.message import FrameMessageBuilder
from edge.events.outlines import Outlines
from edge.events.schema import load
from edge.events.summary import summarise
from edge.frame import Frame

OBJECT = load("frame-1")["$defs"]["object"]["properties"]
DEFINITIONS = load("frame-1")["$defs"]
SIZE, HD = (360, 640), (1080, 1920)


def official(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    planes = torch.from_numpy(logits)[:, None]
    return (F.interpolate(planes, size=size, mode="bilinear")[:, 0] > 0).numpy()


def rasterised(parts: list[Part], size: tuple[int, int]) -> np.ndarray:
    """The pixels whose centres an odd number of rings goes around."""
    height, width = size
    crossed = np.zeros((height, width + 1), dtype=np.intp)
    for part in parts:
        for ring in [part["outer"], *part["holes"]]:
            for (x1, y1), (x2, y2) in pairwise([*ring, ring[0]]):
                above, below = sorted((y1, y2))
                rows = np.arange(np.ceil(above - 0.5), np.ceil(below - 0.5)).astype(np.intp)
                if len(rows):
                    x = x1 + (rows + 0.5 - y1) * (x2 - x1) / (y2 - y1)
                    crossed[rows, np.ceil(x - 0.5).astype(np.intp)] += 1
    return crossed.cumsum(axis=1)[:, :width] % 2 == 1


def iou(parts: list[Part], mask: np.ndarray) -> float:
    drawn = rasterised(parts, mask.shape)
    return float((drawn & mask).sum() / (drawn | mask).sum())


def signed_area(ring: list[list[float]]) -> float:
    """Above 0 where the ring goes round against the clock as one sees it, y being down."""
    x, y = np.array(ring).T
    return float((y @ np.roll(x, -1) - x @ np.roll(y, -1)) / 2)


def assert_valid(name: str, value: object) -> None:
    Draft202012Validator({**OBJECT[name], "$defs": DEFINITIONS}).validate(value)


def disc(grid: int, x: float, y: float, radius: float, hole: float = 0.0) -> np.ndarray:
    """Logits of a disc on a grid, with a round hole in its middle."""
    rows, columns = np.mgrid[:grid, :grid] + 0.5
    distance = np.hypot(columns - x, rows - y)
    return np.minimum(radius - distance, distance - hole).astype(np.float32)


# Polygons


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    features=st.integers(3, 13),
    offset=st.floats(-0.2, 0.3),
    size=st.sampled_from([(360, 640), (640, 360), (300, 300), (200, 900)]),
)
def test_polygons_cover_the_official_masks(
    seed: int, features: int, offset: float, size: tuple[int, int]
) -> None:
    coarse = np.random.default_rng(seed).uniform(-1, 1, size=(2, 1, features, features))
    fields = F.interpolate(torch.from_numpy(coarse), size=(54, 54), mode="bicubic")[:, 0].numpy()
    logits = (8 * (fields + offset)).astype(np.float32)
    for parts, mask in zip(polygons(logits, size), official(logits, size), strict=True):
        if mask.any():
            assert_valid("polygon", parts)
            assert iou(parts, mask) > 0.97


def assert_close_to_the_outline(logits: np.ndarray, size: tuple[int, int]) -> None:
    """The bound that the docs state, against the outline as it is before it is simplified."""
    outlines = Outlines.of(logits, size)
    for k, parts in enumerate(polygons(logits, size)):
        rings = [outlines.line(r).tolist() for r in np.flatnonzero(outlines.index == k)]
        outline = rasterised([{"outer": ring, "holes": []} for ring in rings], size)
        assert iou(parts, outline) >= 0.95


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    features=st.integers(2, 25),
    offset=st.floats(-0.2, 0.5),
    roughness=st.floats(0, 3),
)
def test_simplification_keeps_an_iou_of_95_percent(
    seed: int, features: int, offset: float, roughness: float
) -> None:
    random = np.random.default_rng(seed)
    coarse = torch.from_numpy(random.uniform(-1, 1, size=(1, 1, features, features)))
    field = F.interpolate(coarse, size=(54, 54), mode="bicubic")[:, 0].numpy()
    rough = 8 * (field + offset) + random.normal(0, roughness, field.shape)
    rings = Outlines.of(rough.astype(np.float32), HD)
    assume(0 < len(rings.area) <= 64)  # of more, not all are kept
    assume(rings.area.sum() > 100)
    assert_close_to_the_outline(rough.astype(np.float32), HD)


def test_simplification_keeps_an_iou_of_95_percent_of_a_networks_masks() -> None:
    golden = np.load(Path(__file__).parents[1] / "data" / "demo_golden.npz")
    found = golden["pred_masks"][0, golden["pred_logits"][0].max(axis=1) > 0]
    assert len(found) == 4
    assert_close_to_the_outline(found, HD)


@pytest.mark.parametrize("radius", [0.6, 1, 2, 5, 20])  # cells
def test_polygons_cover_masks_of_any_size(radius: float) -> None:
    places = 27 + np.random.default_rng(0).uniform(-0.5, 0.5, (20, 2))
    logits = np.stack([disc(54, x, y, radius) for x, y in places])
    outlines, masks = polygons(logits, HD), official(logits, HD)
    assert all(len(parts) == 1 and len(parts[0]["outer"]) <= 25 for parts in outlines)
    drawn = np.stack([rasterised(parts, HD) for parts in outlines])
    assert (drawn & masks).sum() / (drawn | masks).sum() > 0.97


def test_parts_come_largest_first_and_have_their_own_holes() -> None:
    small, large = disc(54, 9, 9, 6, hole=2), disc(54, 35, 30, 16, hole=11)
    island = disc(54, 35, 30, 7, hole=3)
    (parts,) = polygons(np.maximum(np.maximum(small, large), island)[None], SIZE)
    areas = [signed_area(part["outer"]) for part in parts]
    assert areas == sorted(areas, reverse=True)
    assert [len(part["holes"]) for part in parts] == [1, 1, 1]
    cells = [1 / 54**2 * SIZE[0] * SIZE[1] * np.pi * r**2 for r in (16, 7, 6, 11, 3, 2)]
    holes = [-signed_area(part["holes"][0]) for part in parts]
    assert [*areas, *holes] == pytest.approx(cells, rel=0.06)


def test_corners_that_touch_are_joined_where_the_resized_logits_are() -> None:
    logits = np.full((2, 8, 8), -1, dtype=np.float32)
    logits[:, 3, 3] = logits[:, 4, 4] = 2  # above 0 in the middle between the four
    logits[1, 3, 4] = logits[1, 4, 3] = -5  # below
    joined, apart = polygons(logits, SIZE)
    assert (len(joined), len(apart)) == (1, 2)
    logits = logits[:, ::-1].copy()
    assert [len(parts) for parts in polygons(logits, SIZE)] == [1, 2]


def test_a_mask_over_the_whole_frame_is_its_rectangle() -> None:
    ((part,),) = polygons(np.ones((1, 54, 54), dtype=np.float32), SIZE)
    assert part["holes"] == []
    assert sorted(part["outer"]) == [[0, 0], [0, 360], [640, 0], [640, 360]]


def test_a_mask_at_the_frames_side_ends_there() -> None:
    (parts,) = polygons(disc(54, 0, 54, 20)[None], SIZE)
    x, y = np.array(parts[0]["outer"]).T
    assert (x.min(), y.max()) == (0, 360)
    assert iou(parts, official(disc(54, 0, 54, 20)[None], SIZE)[0]) > 0.98


def test_a_mask_without_a_positive_cell_has_no_parts() -> None:
    logits = np.stack([np.full((54, 54), -1), disc(54, 20, 20, 5), np.zeros((54, 54))])
    assert [len(p) for p in polygons(logits.astype(np.float32), SIZE)] == [0, 1, 0]
    assert polygons(np.zeros((0, 54, 54), dtype=np.float32), SIZE) == []


def test_noise_is_cut_to_its_largest_rings() -> None:
    noise = np.random.default_rng(0).normal(size=(1, 108, 108)).astype(np.float32)
    (parts,) = polygons(noise, SIZE)
    assert_valid("polygon", parts)
    assert 32 < sum(1 + len(part["holes"]) for part in parts) <= 64


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=7),
        elements=st.floats(width=32) | st.sampled_from([-1.0, 0.0, 1.0]),
    ),
    st.integers(1, 60),
    st.integers(1, 60),
)
def test_any_logits_give_valid_geometry(logits: np.ndarray, height: int, width: int) -> None:
    for one, keys in zip(logits, geometry(logits, (height, width), "both"), strict=True):
        assert_valid("rle", keys["rle"])
        parts = keys.get("polygon", [])
        assert "polygon" not in keys or (len(parts) > 0 and (one > 0).any())
        for part in parts:
            for ring in [part["outer"], *part["holes"]]:
                x, y = np.array(ring).T
                assert len(ring) >= 3
                assert (x >= 0).all()
                assert (y >= 0).all()
                assert (x <= width).all()
                assert (y <= height).all()


def test_a_mask_too_thin_to_have_an_area_has_no_polygon() -> None:
    logits = np.array([[[-1e38, 1e-3, -1e38]]], dtype=np.float32)
    assert [set(keys) for keys in geometry(logits, SIZE, "both")] == [{"rle"}]


# Run lengths


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:pycocotools")
@settings(max_examples=200, deadline=None)
@given(
    hnp.arrays(
        np.bool_,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40),
        fill=st.booleans(),
    )
)
def test_rle_is_what_pycocotools_writes_and_reads(mask: np.ndarray) -> None:
    rle = grid_rle(np.where(mask, np.float32(0.5), np.float32(-0.5)))
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert rle == {"size": list(mask.shape), "counts": theirs["counts"].decode()}
    assert np.array_equal(coco.decode(rle), mask)


@pytest.mark.parametrize("first", [1, 16, 17, 500, 16_384, 600_000])
def test_rle_of_long_runs_is_what_pycocotools_writes(first: int) -> None:
    mask = np.ones(1_000_000, dtype=np.uint8)
    mask[first : 2 * first] = 0
    mask[2 * first + 3 :: 4096] = 0
    mask = np.asfortranarray(mask.reshape((1000, 1000), order="F"))
    assert grid_rle(mask.astype(np.float32))["counts"] == coco.encode(mask)["counts"].decode()


def test_each_kind_adds_its_keys() -> None:
    logits = np.stack([disc(54, 20, 20, 5), disc(54, 30, 30, 8)])
    keys = {
        kind: [set(one) for one in geometry(logits, SIZE, kind)]
        for kind in ("none", "polygon", "rle", "both")
    }
    assert keys == {
        "none": [set(), set()],
        "polygon": [{"polygon"}] * 2,
        "rle": [{"rle"}] * 2,
        "both": [{"polygon", "rle"}] * 2,
    }


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:pycocotools")
@pytest.mark.parametrize("budget", [2000, 8192, 16_000, 10**6])
def test_a_hundred_objects_with_geometry_keep_the_byte_budget(budget: int) -> None:
    logits, _ = blobs(100, 54, seed=0)
    scores, rows = np.full(100, 0.9, dtype=np.float32), np.zeros(100, dtype=np.intp)
    boxes = np.tile(np.float32([1, 2, 30, 40]), (100, 1))
    found = Detections(scores, rows, boxes, logits, HD)
    objects = summarise(found, ["person"]).objects
    seen = logits[[one.detection for one in objects]]
    frame = Frame("dock", 0, Timestamp(1.7e9, 100.0, True), np.zeros((*HD, 3), dtype=np.uint8))
    messages = FrameMessageBuilder("dock-7", "8f3c2a10", "rfdetr-seg-preview", budget)
    payload = messages.build(frame, objects, 100.0, 19.0, 100.1, geometry(seen, HD, "both"))
    message = json.loads(payload)
    Draft202012Validator(load("frame-1")).validate(message)
    assert len(payload) <= budget
    assert len(message["objects"]) + message["truncated"] == message["counts"]["person"] == 100
    outlined = [one for one in message["objects"] if "rle" in one]
    assert (len(outlined) == 100) == (budget == 10**6)
    for one, mask in zip(outlined, seen, strict=False):  # the largest have it
        assert np.array_equal(coco.decode(one["rle"]), mask > 0)
        assert one["polygon"]
