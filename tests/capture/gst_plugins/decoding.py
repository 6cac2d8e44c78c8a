"""A decoder of NVIDIA's as a stand-in: FFmpeg inside, its pictures in NVIDIA's memory."""

from nvmm import Chain, Relabel, control

from gi.repository import Gst  # isort: skip

_DECODERS = {"video/x-h264": "avdec_h264", "video/x-h265": "avdec_h265", "image/jpeg": "jpegdec"}


class Decoding(Chain):
    """The codec is known with the caps: only then the decoder within is made."""

    def __init__(self) -> None:
        super().__init__()
        self._entry = Gst.ElementFactory.make("identity")
        self._exit = Gst.ElementFactory.make("videoconvert")
        self._decoder: Gst.Element | None = None
        nv12 = Gst.ElementFactory.make("capsfilter")
        nv12.set_property("caps", Gst.Caps.from_string("video/x-raw,format=NV12"))
        relabel = Relabel(into=True)
        self.chain(self._entry, self._exit, nv12, relabel)
        self._entry.unlink(self._exit)
        probe = Gst.PadProbeType.EVENT_DOWNSTREAM | Gst.PadProbeType.BUFFER
        self._entry.get_static_pad("src").add_probe(probe, self._passes)

    def do_change_state(self, change: Gst.StateChange) -> Gst.StateChangeReturn:
        if change == Gst.StateChange.NULL_TO_READY and control() == "refuse":
            return Gst.StateChangeReturn.FAILURE
        return Gst.Bin.do_change_state(self, change)

    def _passes(self, pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        if info.type & Gst.PadProbeType.BUFFER:
            silent = control() == "silent"
            return Gst.PadProbeReturn.DROP if silent else Gst.PadProbeReturn.OK
        event = info.get_event()
        if event.type == Gst.EventType.CAPS and self._decoder is None:
            name = event.parse_caps().get_structure(0).get_name()
            self._decoder = Gst.ElementFactory.make(_DECODERS[name])
            self.add(self._decoder)
            self._decoder.link(self._exit)
            self._decoder.sync_state_with_parent()
            self._entry.link(self._decoder)
        return Gst.PadProbeReturn.OK
