"""The ``shapes:`` camera: a moving picture from a seed, for demos, tests and measurements."""

from edge.capture.address import ShapesAddress
from edge.capture.shapes import ShapesCamera
from edge.capture.source import StreamInfo, Wait
from edge.capture.timing import Pace
from edge.frame import Image


class SyntheticSource:
    """Frame k is the synthetic camera's frame k, in real time. Late, it slips and skips none."""

    decoder = "shapes"
    fallen_back = ""

    def __init__(self, address: ShapesAddress, next_frame_id: int, wait: Wait) -> None:
        self._address = address
        self._number = next_frame_id - 1
        self._pace = Pace(wait)
        self.description = StreamInfo("shapes", address.size, address.fps)

    def open(self) -> None:
        width, height = self._address.size
        self._camera = ShapesCamera(
            self._address.seed,
            width,
            height,
            fps=self._address.fps,
            objects=self._address.objects,
            min_size=self._address.min_size,
        )

    def grab(self) -> None:
        self._pace.step(1 / self._address.fps)
        self._number += 1

    def retrieve(self) -> Image:
        return self._camera.frame(self._number).image

    def close(self) -> None:
        """Nothing is held."""
