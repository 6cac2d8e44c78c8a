"""The synthetic camera: the same pixels for ever, and the source that plays it."""

import hashlib

import numpy as np
import pytest

from edge.capture.address import ShapesAddress
from edge.capture.shapes import ShapesCamera
from edge.capture.synthetic import SyntheticSource

# The demo checkpoint was trained on these pictures. OpenCV draws them, and another version or
# processor may round otherwise: these are the pixels of constraints/numpy2.txt's OpenCV on x86-64.
PINNED = [
    ({"seed": 1}, 0, "745b9585142690bc7b294eccea3fe314a93ac639caded71cf46c39cd6614bb98"),
    ({"seed": 1}, 1, "a52e9fbf091ff6727fdd83abb7f484a6842dfd17725ff97654246bc5549db141"),
    ({"seed": 1}, 100, "3cf4a697dc378b24a2d214b93e996b2bfcef0d34a6a1732dd904862815be4019"),
    (
        {"seed": 7, "objects": 8},
        100,
        "a84b0b8a7e0485c3df7d93dd5f65cf1b239b1d9e0e1013f812e4381fa5e2e509",
    ),
    (
        {"seed": 3, "width": 1280, "height": 720, "fps": 25.0, "objects": 5, "min_size": 40},
        100,
        "1238b3c24f1335f1661f3af07ec4302b5ec15051db402ee228a6b56dd4aa927d",
    ),
]


@pytest.mark.parametrize(("scene", "number", "sha256"), PINNED)
def test_pixels_stay_the_same(scene: dict[str, float], number: int, sha256: str) -> None:
    image = ShapesCamera(**scene).frame(number).image  # type: ignore[arg-type]
    assert hashlib.sha256(image.tobytes()).hexdigest() == sha256


def test_ground_truth_stays_the_same() -> None:
    digest = hashlib.sha256()
    for shape in ShapesCamera(seed=7, objects=8).frame(100).objects:
        digest.update(repr((shape.id, shape.class_id, shape.box, shape.ignore)).encode())
        digest.update(np.packbits(shape.mask).tobytes())
    assert digest.hexdigest() == "28d733a96c86654c491c30daa3177ab89f95075430ff64c05614f6298ccb6fb6"


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1600, 900), (800, 1024)])
def test_renders_frames_larger_than_its_first_noise_bank(width: int, height: int) -> None:
    image = ShapesCamera(1, width, height).frame(3).image
    assert image.shape == (height, width, 3)
    noise = image[:, 1:].astype(int) - image[:, :-1]
    right, bottom = noise[:, -200:], noise[-100:]
    assert min(right.std(), bottom.std()) > 0.5, "the noise ends before the picture does"


def test_a_box_and_its_mask_agree() -> None:
    for shape in ShapesCamera(seed=7, objects=8).frame(100).objects:
        x1, y1, x2, y2 = shape.box
        assert shape.mask[y1:y2, x1:x2].sum() == shape.mask.sum() > 0


def played(source: SyntheticSource, frames: int) -> list[bytes]:
    source.open()
    pictures = []
    for _ in range(frames):
        source.grab()
        pictures.append(source.retrieve().tobytes())
    return pictures


def test_frame_id_k_is_the_camera_s_frame_k() -> None:
    address = ShapesAddress(seed=5, size=(320, 180), objects=3)
    camera = ShapesCamera(5, 320, 180, objects=3, min_size=address.min_size)
    again = SyntheticSource(address, 7, wait=lambda seconds: None)
    assert played(again, 2) == [camera.frame(k).image.tobytes() for k in (7, 8)]


def test_plays_in_real_time() -> None:
    waited: list[float] = []
    source = SyntheticSource(ShapesAddress(size=(64, 36), fps=10), 0, waited.append)
    played(source, 6)
    # The waits return at once here, so each one asks for the time up to its own frame: 0.1 s more.
    assert waited == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5], abs=0.05)
