"""What this process's OpenCV and GStreamer can do."""

import ctypes
import functools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

# The plugins' packages are the distribution's; NVIDIA's come with JetPack.
_NVIDIA = ("nvv4l2decoder", "nvvidconv", "nvjpegdec", "nvarguscamerasrc")


@functools.cache
def opencv_reads_gstreamer() -> bool:
    """Whether OpenCV was built with GStreamer: JetPack's is, the one of pip is not."""
    import cv2

    return re.search(r"GStreamer:\s+YES", cv2.getBuildInformation()) is not None


def has_element(name: str) -> bool:
    """Whether GStreamer knows an element of this name.

    Asked in GStreamer's own registry, of the library that OpenCV uses too: opening a pipeline to
    find out would start a decoder or a camera, and could not tell one that is missing from one
    that does not work.
    """
    library = _library()
    if library is None:
        return False
    factory = library.gst_element_factory_find(name.encode())
    if factory:
        library.gst_object_unref(factory)
    return bool(factory)


@functools.cache
def _library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libgstreamer-1.0.so.0")
    except OSError:
        return None
    library.gst_init_check.argtypes = [ctypes.c_void_p] * 3
    library.gst_element_factory_find.argtypes = [ctypes.c_char_p]
    library.gst_element_factory_find.restype = ctypes.c_void_p
    library.gst_object_unref.argtypes = [ctypes.c_void_p]
    return library if library.gst_init_check(None, None, None) else None


@dataclass(frozen=True, slots=True)
class GstreamerSupport:
    """What can be had of GStreamer here; a test brings its own."""

    in_opencv: Callable[[], bool] = opencv_reads_gstreamer
    has: Callable[[str], bool] = has_element

    def lacks(self, elements: Iterable[str]) -> str:
        """What is missing for a pipeline of these elements, as half a sentence; "" if nothing."""
        if not self.in_opencv():
            return "this OpenCV was built without GStreamer (JetPack's own has it, pip's has not)"
        missing = [name for name in elements if not self.has(name)]
        if not missing:
            return ""
        nvidia = [name for name in missing if name in _NVIDIA]
        whose = "NVIDIA's GStreamer plugins lack" if nvidia else "GStreamer lacks"
        return f"{whose} {', '.join(nvidia or missing)}"
