"""One running GStreamer pipeline, and the pictures that its appsink holds."""

import ctypes
import re
import time
from collections.abc import Callable

import numpy as np

from edge.capture.libgstreamer import GError, Library, PadProbe
from edge.frame import Image

SINK = "rfdetr_edge_pictures"  # the appsink's name
PARSER = "rfdetr_edge_parser"  # the name of a parser behind which a key frame comes first

_NULL, _PLAYING, _FAILURE = 1, 4, 0
_ERROR_MESSAGE = 1 << 1
_NO_SUCH_ELEMENT = 1  # the one error of the parser that repeats no property's value
_BUFFERS, _DELTA_UNIT, _DROP, _LAST_CALL = 1 << 4, 1 << 13, 0, 2  # of probes and buffers
_LOOK_S = 0.1  # how often to look for an error while waiting: an appsink does not hear of them


class PipelineError(Exception):
    """The pipeline cannot be built, or has failed or ended; half a sentence, without passwords."""


class GstreamerPipeline:
    """Runs ``text``, which ends in an appsink named `SINK` that takes BGR. Used by one thread.

    Where an element is named `PARSER`, nothing gets past it before the first key frame: decoders
    would make grey pictures of what begins in the middle.

    Raises `PipelineError` where it cannot be built or started.
    """

    def __init__(
        self, gst: Library, text: str, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._gst, self._monotonic = gst, monotonic
        self._sample: int | None = None
        failure = ctypes.POINTER(GError)()
        self._pipeline = gst.gst_parse_launch(text.encode(), ctypes.byref(failure))
        if failure:
            why = self._parser_s_words(failure)
            if self._pipeline:
                gst.gst_object_unref(self._pipeline)
            raise PipelineError(why)
        self._sink = gst.gst_bin_get_by_name(self._pipeline, SINK.encode())
        self._bus = gst.gst_element_get_bus(self._pipeline)
        self._probe = PadProbe(self._wait_for_key_frame)  # kept: GStreamer holds no reference to it
        self._gate()
        if gst.gst_element_set_state(self._pipeline, _PLAYING) == _FAILURE:
            why = self._failure() or "cannot be started"
            self.close()
            raise PipelineError(why)

    def pull(self, timeout_s: float) -> bool:
        """Take the newest picture, waiting for it; False after ``timeout_s``.

        Raises `PipelineError` as soon as the pipeline has failed or ended.
        """
        self._drop_sample()
        deadline = self._monotonic() + timeout_s
        while not self._sample:
            failure = self._failure()  # also clears the bus of everything else
            if failure:
                raise PipelineError(failure)
            wait_s = min(_LOOK_S, deadline - self._monotonic())
            if wait_s <= 0:
                return False
            self._sample = self._gst.gst_app_sink_try_pull_sample(self._sink, round(wait_s * 1e9))
            if not self._sample and self._gst.gst_app_sink_is_eos(self._sink):
                raise PipelineError(self._failure() or "the stream has ended")
        return True

    def picture(self) -> Image:
        """The pulled picture as uint8 BGR ``[H, W, 3]``, contiguous and the caller's own."""
        gst, sample = self._gst, self._sample
        width, height = ctypes.c_int(), ctypes.c_int()
        caps = gst.gst_caps_get_structure(gst.gst_sample_get_caps(sample), 0)
        gst.gst_structure_get_int(caps, b"width", ctypes.byref(width))
        gst.gst_structure_get_int(caps, b"height", ctypes.byref(height))
        row = (width.value * 3 + 3) // 4 * 4  # GStreamer pads rows to four bytes
        rows = np.empty((height.value, row), np.uint8)
        buffer = gst.gst_sample_get_buffer(sample)
        if gst.gst_buffer_extract(buffer, 0, rows.ctypes.data, rows.nbytes) != rows.nbytes:
            raise PipelineError("a picture is smaller than its size")
        pixels = rows[:, : width.value * 3].reshape(height.value, width.value, 3)
        return np.ascontiguousarray(pixels)

    def close(self) -> None:
        """Stop everything and let it go; once."""
        self._drop_sample()
        self._gst.gst_element_set_state(self._pipeline, _NULL)
        for held in (self._sink, self._bus, self._pipeline):
            self._gst.gst_object_unref(held)

    def _gate(self) -> None:
        parser = self._gst.gst_bin_get_by_name(self._pipeline, PARSER.encode())
        if parser:
            pad = self._gst.gst_element_get_static_pad(parser, b"src")
            self._gst.gst_pad_add_probe(pad, _BUFFERS, self._probe, None, None)
            for held in (pad, parser):
                self._gst.gst_object_unref(held)

    def _wait_for_key_frame(self, pad: int, info: int, data: int) -> int:
        """In GStreamer's thread, until it lets a buffer pass."""
        buffer = self._gst.gst_pad_probe_info_get_buffer(info)
        return _DROP if self._gst.gst_buffer_has_flags(buffer, _DELTA_UNIT) else _LAST_CALL

    def _drop_sample(self) -> None:
        if self._sample:
            self._gst.gst_mini_object_unref(self._sample)
            self._sample = None

    def _failure(self) -> str:
        """The first error that elements have reported since the last call, "" if none."""
        message = self._gst.gst_bus_pop_filtered(self._bus, _ERROR_MESSAGE)
        if not message:
            return ""
        error, details = ctypes.POINTER(GError)(), ctypes.c_void_p()
        self._gst.gst_message_parse_error(message, ctypes.byref(error), ctypes.byref(details))
        words = (error.contents.message or b"").decode(errors="replace")
        whose = element_of(ctypes.string_at(details.value or b"").decode(errors="replace"))
        self._gst.g_error_free(error)
        self._gst.g_free(details)
        self._gst.gst_mini_object_unref(message)
        return f"{whose}: {without_addresses(words)}"

    def _parser_s_words(self, failure: "ctypes._Pointer[GError]") -> str:
        error = failure.contents
        repeatable = error.code == _NO_SUCH_ELEMENT
        words = (error.message or b"").decode(errors="replace") if repeatable else ""
        self._gst.g_error_free(failure)
        return words or "is not a valid GStreamer pipeline (gst-launch-1.0 says why)"


def element_of(details: str) -> str:
    """Which element reported, by its path in GStreamer's details: ``file.c(1): f (): /path:``.

    What follows on further lines may be an address with a password in it. The number that GStreamer
    gives to an element without a name is left out: it is another one at each attempt.
    """
    path = re.match(r"[^\n]*? \(\): ((?:/[\w+-]+:[\w+-]+)+)", details)
    return re.sub(r"\d+$", "", path[1].rpartition(":")[2]) if path else "GStreamer"


def without_addresses(words: str) -> str:
    """What GStreamer says, without anything that may be a part of an address."""
    return re.sub(r"\S*(?::/|@|\?)\S*", "***", words)
