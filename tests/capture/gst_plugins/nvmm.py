"""What the stand-ins share: memory that only NVIDIA's elements can read, by its caps alone.

The pictures stay in plain memory. But a pipeline without nvvidconv does not link, as on a Jetson.
"""

import itertools
import os
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstBase", "1.0")
from gi.repository import GObject, Gst, GstBase  # noqa: E402

Gst.init(None)

NVMM = "video/x-raw(memory:NVMM), format=NV12"
RAW = "video/x-raw"


def control() -> str:
    """How the decoders are to behave: "work", "refuse" to start, or be "silent"."""
    file = os.environ.get("NVIDIA_STANDIN_CONTROL")
    return Path(file).read_text() if file else "work"


def always(name: str, direction: Gst.PadDirection, caps: str) -> Gst.PadTemplate:
    return Gst.PadTemplate.new(name, direction, Gst.PadPresence.ALWAYS, Gst.Caps.from_string(caps))


def sink(caps: str) -> Gst.PadTemplate:
    return always("sink", Gst.PadDirection.SINK, caps)


def source(caps: str) -> Gst.PadTemplate:
    return always("src", Gst.PadDirection.SRC, caps)


class Relabel(GstBase.BaseTransform):
    """Changes the memory that caps speak of: ``into`` NVIDIA's, or out of it."""

    __gstmetadata__ = ("Relabel", "Filter/Video", "Renames memory", "tests")
    __gsttemplates__ = (sink("video/x-raw(ANY)"), source("video/x-raw(ANY)"))

    def __init__(self, into: bool) -> None:
        super().__init__()
        self._into = into
        self.set_in_place(True)

    def do_transform_caps(
        self, direction: Gst.PadDirection, caps: Gst.Caps, wanted: Gst.Caps | None
    ) -> Gst.Caps:
        to_nvidia = self._into == (direction == Gst.PadDirection.SINK)
        changed = Gst.Caps.new_empty()
        for index in range(caps.get_size()):
            features = ["memory:NVMM"] if to_nvidia else ["memory:SystemMemory"]
            changed.append_structure_full(
                caps.get_structure(index).copy(), Gst.CapsFeatures.from_string(features[0])
            )
        return changed.intersect(wanted) if wanted else changed

    def do_transform_ip(self, buffer: Gst.Buffer) -> Gst.FlowReturn:
        return Gst.FlowReturn.OK


GObject.type_register(Relabel)


class Chain(Gst.Bin):
    """Elements in a row, with the first one's sink and the last one's source as its own pads."""

    def chain(self, *elements: Gst.Element) -> None:
        for element in elements:
            self.add(element)
        for before, after in itertools.pairwise(elements):
            before.link(after)
        for template in self.__gsttemplates__:
            name = template.name_template
            target = elements[0 if name == "sink" else -1].get_static_pad(name)
            self.add_pad(Gst.GhostPad.new_from_template(name, target, template))
