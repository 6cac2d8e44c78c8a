"""A stand-in for the Jetson's video decoder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from decoding import Decoding
from gi.repository import GObject, Gst
from nvmm import NVMM, sink, source

PARSED = "stream-format=byte-stream, alignment=au"


class NvV4l2Decoder(Decoding):
    __gstmetadata__ = ("nvv4l2decoder stand-in", "Codec/Decoder/Video", "Decodes", "tests")
    __gsttemplates__ = (
        sink(f"video/x-h264, {PARSED}; video/x-h265, {PARSED}; image/jpeg"),
        source(NVMM),
    )
    mjpeg = GObject.Property(type=bool, default=False)


GObject.type_register(NvV4l2Decoder)
__gstelementfactory__ = ("nvv4l2decoder", Gst.Rank.NONE, NvV4l2Decoder)
