"""A stand-in for NVIDIA's converter: takes pictures out of its memory."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from gi.repository import GObject, Gst
from nvmm import RAW, Chain, Relabel, sink, source


class NvVidConv(Chain):
    __gstmetadata__ = ("nvvidconv stand-in", "Filter/Converter/Video", "Converts", "tests")
    __gsttemplates__ = (
        sink("video/x-raw(memory:NVMM)"),
        source(f"{RAW}, format=(string){{BGRx, RGBA, NV12, I420}}"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.chain(Relabel(into=False), Gst.ElementFactory.make("videoconvert"))


GObject.type_register(NvVidConv)
__gstelementfactory__ = ("nvvidconv", Gst.Rank.NONE, NvVidConv)
