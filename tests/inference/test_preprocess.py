"""The input is what the official package feeds its network, pixel for pixel."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from edge.inference.preprocess import DEVIATION, MEAN, Preprocess, frame_table


def official(frame: np.ndarray, resolution: int, antialias: bool) -> torch.Tensor:
    """The official order of operations: RGB, 0..1, resize, normalise."""
    rgb = torch.from_numpy(frame[:, :, ::-1].copy()).permute(2, 0, 1).float() / 255
    resized = F.interpolate(
        rgb[None], (resolution, resolution), mode="bilinear", antialias=antialias
    )
    return (resized - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(DEVIATION).view(3, 1, 1)


def ours(frame: np.ndarray, resolution: int, resize: str) -> torch.Tensor:
    size = frame.shape[:2]
    table = frame_table(*size, resolution)
    return Preprocess(resolution, resize)(torch.from_numpy(frame).view(-1, 3), table, size)


@pytest.mark.parametrize("resize", ["plain", "antialias"])
@pytest.mark.parametrize(
    "size", [(1080, 1920), (360, 640), (216, 216), (100, 90), (1, 1), (217, 3), (2160, 3840)]
)
def test_equals_the_official_preprocessing(size, resize):
    frame = np.random.default_rng(sum(size)).integers(0, 256, (*size, 3), dtype=np.uint8)
    expected = official(frame, 216, antialias=resize == "antialias")
    torch.testing.assert_close(ours(frame, 216, resize), expected, atol=1e-4, rtol=0)


def test_golden_input(demo_golden):
    made = ours(demo_golden["frame_bgr"], 216, "antialias").numpy()
    np.testing.assert_allclose(made, demo_golden["input"], atol=2e-5)


def test_blue_is_not_red():
    blue = np.zeros((20, 20, 3), np.uint8)
    blue[..., 0] = 255
    channels = ours(blue, 24, "plain")[0].mean((1, 2))
    assert channels[2] > 2
    assert channels[0] < 0


@pytest.mark.parametrize("resize", ["plain", "antialias"])
def test_what_lies_behind_the_frame_is_not_read(resize):
    """A buffer for large frames holds a smaller one, and behind it the rest of one before it."""
    frame = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    pixels = torch.full((9000, 3), 255, dtype=torch.uint8)
    pixels[: 48 * 64] = torch.from_numpy(frame).view(-1, 3)
    made = Preprocess(24, resize)(pixels, frame_table(48, 64, 24), (48, 64))
    assert torch.equal(made, ours(frame, 24, resize))
