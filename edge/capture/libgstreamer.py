"""GStreamer's own library, as far as it is used here; its elements by name.

Called through ctypes. Why not through OpenCV: docs/capture.md. GStreamer's Python bindings are only
there for the distribution's own Python.
"""

import ctypes
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

# NVIDIA's plugins come with JetPack, all others with the distribution.
_NVIDIA = frozenset(("nvv4l2decoder", "nvvidconv", "nvjpegdec", "nvarguscamerasrc"))

_POINTER, _TEXT, _INT, _SIZE = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t


class GError(ctypes.Structure):
    _fields_ = (("domain", ctypes.c_uint32), ("code", _INT), ("message", _TEXT))


# Called by the thread that a buffer passes through: of the pad, the probe's details and our data.
PadProbe = ctypes.CFUNCTYPE(_INT, _POINTER, _POINTER, _POINTER)

# By library: each function's result and arguments.
_FUNCTIONS: dict[str, dict[str, tuple[Any, ...]]] = {
    "libgstreamer-1.0.so.0": {
        "gst_init_check": (_INT, _POINTER, _POINTER, _POINTER),
        "gst_element_factory_find": (_POINTER, _TEXT),
        "gst_object_unref": (None, _POINTER),
        "gst_mini_object_unref": (None, _POINTER),
        "gst_parse_launch": (_POINTER, _TEXT, ctypes.POINTER(ctypes.POINTER(GError))),
        "gst_bin_get_by_name": (_POINTER, _POINTER, _TEXT),
        "gst_element_get_bus": (_POINTER, _POINTER),
        "gst_element_get_static_pad": (_POINTER, _POINTER, _TEXT),
        "gst_pad_add_probe": (ctypes.c_ulong, _POINTER, _INT, PadProbe, _POINTER, _POINTER),
        "gst_pad_probe_info_get_buffer": (_POINTER, _POINTER),
        "gst_buffer_has_flags": (_INT, _POINTER, _INT),
        "gst_element_set_state": (_INT, _POINTER, _INT),
        "gst_bus_pop_filtered": (_POINTER, _POINTER, ctypes.c_uint),
        "gst_message_parse_error": (
            *(None, _POINTER, ctypes.POINTER(ctypes.POINTER(GError)), ctypes.POINTER(_POINTER)),
        ),
        "gst_sample_get_buffer": (_POINTER, _POINTER),
        "gst_sample_get_caps": (_POINTER, _POINTER),
        "gst_caps_get_structure": (_POINTER, _POINTER, ctypes.c_uint),
        "gst_structure_get_int": (_INT, _POINTER, _TEXT, ctypes.POINTER(_INT)),
        "gst_buffer_extract": (_SIZE, _POINTER, _SIZE, _POINTER, _SIZE),
    },
    "libgstapp-1.0.so.0": {
        "gst_app_sink_try_pull_sample": (_POINTER, _POINTER, ctypes.c_uint64),
        "gst_app_sink_is_eos": (_INT, _POINTER),
    },
    "libglib-2.0.so.0": {
        "g_error_free": (None, ctypes.POINTER(GError)),
        "g_free": (None, _POINTER),
    },
}


class Library:
    """The functions of `_FUNCTIONS` as attributes. They release the GIL."""

    def __init__(self) -> None:
        for name, functions in _FUNCTIONS.items():
            library = ctypes.CDLL(name)
            for function, (result, *arguments) in functions.items():
                bound = getattr(library, function)
                bound.restype, bound.argtypes = result, arguments
                setattr(self, function, bound)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


@functools.cache
def library() -> Library | None:
    """GStreamer, set up for this process; None where it is not installed."""
    try:
        loaded = Library()
    except OSError:
        return None
    return loaded if loaded.gst_init_check(None, None, None) else None


def has_element(name: str) -> bool:
    """Whether GStreamer's registry knows an element of this name; none is made for that."""
    gst = library()
    factory = gst.gst_element_factory_find(name.encode()) if gst is not None else None
    if gst is not None and factory:
        gst.gst_object_unref(factory)
    return bool(factory)


@dataclass(frozen=True, slots=True)
class GstreamerSupport:
    """What can be had of GStreamer here; a test brings its own."""

    installed: Callable[[], bool] = lambda: library() is not None
    has: Callable[[str], bool] = has_element

    def lacks(self, elements: Iterable[str]) -> str:
        """What is missing for a pipeline of these elements, as half a sentence; "" if nothing."""
        if not self.installed():
            return "GStreamer is not installed (libgstreamer1.0-0, gstreamer1.0-plugins-base)"
        missing = [name for name in elements if not self.has(name)]
        nvidia = [name for name in missing if name in _NVIDIA]
        if nvidia:
            return f"GStreamer has no {', '.join(nvidia)} (NVIDIA's plugins come with JetPack)"
        if missing:
            return f"GStreamer has no {', '.join(missing)} (gstreamer1.0-plugins-good and -bad)"
        return ""
