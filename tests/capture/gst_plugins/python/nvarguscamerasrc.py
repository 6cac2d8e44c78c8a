"""A stand-in for the Jetson's own camera: sensor 0 sees red, all others blue."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from gi.repository import GObject, Gst
from nvmm import NVMM, Chain, Relabel, source

RED, BLUE = 4, 6  # patterns of videotestsrc


class NvArgusCameraSrc(Chain):
    __gstmetadata__ = ("nvarguscamerasrc stand-in", "Source/Video", "A camera", "tests")
    __gsttemplates__ = (source(NVMM),)

    def __init__(self) -> None:
        super().__init__()
        self._sensor = 0
        self._camera = Gst.ElementFactory.make("videotestsrc")
        self._camera.set_property("is-live", True)
        self._camera.set_property("pattern", RED)
        self.chain(self._camera, Relabel(into=True))

    @GObject.Property(type=int, default=0)
    def sensor_id(self) -> int:
        return self._sensor

    @sensor_id.setter
    def sensor_id(self, sensor: int) -> None:
        self._sensor = sensor
        self._camera.set_property("pattern", BLUE if sensor else RED)


GObject.type_register(NvArgusCameraSrc)
__gstelementfactory__ = ("nvarguscamerasrc", Gst.Rank.NONE, NvArgusCameraSrc)
