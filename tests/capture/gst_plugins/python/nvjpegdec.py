"""A stand-in for the Jetson's JPEG decoder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from decoding import Decoding
from gi.repository import GObject, Gst
from nvmm import NVMM, sink, source


class NvJpegDec(Decoding):
    __gstmetadata__ = ("nvjpegdec stand-in", "Codec/Decoder/Image", "Decodes", "tests")
    __gsttemplates__ = (sink("image/jpeg, parsed=true"), source(NVMM))


GObject.type_register(NvJpegDec)
__gstelementfactory__ = ("nvjpegdec", Gst.Rank.NONE, NvJpegDec)
