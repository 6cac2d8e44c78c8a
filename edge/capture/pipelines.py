"""GStreamer pipelines as text. Pure text work: nothing is opened here.

Every pipeline ends in an appsink that holds the newest picture alone and never waits for a clock.
"""

from fractions import Fraction
from typing import Literal
from urllib.parse import unquote, urlsplit

from edge.capture.address import (
    PIPELINE_WORD,
    CsiAddress,
    GstreamerAddress,
    RtspAddress,
)
from edge.capture.gstreamer_pipeline import PARSER, SINK
from edge.capture.source import StreamInfo

# What is behind the live edge by more than this is not waited for; it costs a whole stream nothing.
LATENCY_MS = 100

_APPSINK = f"appsink name={SINK} drop=true max-buffers=1 sync=false"
_BGR = f"videoconvert ! video/x-raw,format=BGR ! {_APPSINK}"
# NVIDIA's elements keep pictures in memory that only they can read: nvvidconv copies them out, and
# knows no BGR.
_FROM_NVIDIA = f"nvvidconv ! video/x-raw,format=BGRx ! {_BGR}"

# By FFmpeg's name of the codec: the one in RTP, and the elements that unpack and parse it.
_RTP = {
    "h264": ("H264", "rtph264depay", "h264parse"),
    "hevc": ("H265", "rtph265depay", "h265parse"),
}
RTSP_CODECS = tuple(_RTP)


def rtsp_pipeline(
    address: RtspAddress,
    codec: str,
    transport: Literal["tcp", "udp"],
    open_timeout_s: float,
    read_timeout_s: float,
) -> str:
    """An RTSP stream of ``codec`` (one of `RTSP_CODECS`) through NVIDIA's decoder."""
    encoding, depay, parse = _RTP[codec]
    url = urlsplit(address.url)
    source = {
        "location": quoted(url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()),
        "protocols": transport,
        "latency": LATENCY_MS,
        "drop-on-latency": "true",
        "tcp-timeout": round(open_timeout_s * 1e6),
        "timeout": round(read_timeout_s * 1e6),  # UDP
    }
    if url.username is not None:
        source["user-id"] = quoted(unquote(url.username))
    if url.password is not None:
        source["user-pw"] = quoted(unquote(url.password))
    if url.scheme == "rtsps":
        source["tls-validation-flags"] = 0  # cameras sign their own certificates
    properties = " ".join(f"{name}={value}" for name, value in source.items())
    # A camera may list its audio first, or two videos: the filter takes the one that we mean.
    wanted = f"application/x-rtp,media=video,encoding-name={encoding}"
    unpacked = f"{wanted} ! {depay} ! {parse} name={PARSER}"
    return f"rtspsrc {properties} ! {unpacked} ! nvv4l2decoder ! {_FROM_NVIDIA}"


def mjpg_pipeline(device: str, granted: StreamInfo, decoder: str) -> str:
    """A USB camera's MJPG, in the size and rate that it granted, through ``decoder``
    (nvv4l2decoder, or nvjpegdec where that is all there is)."""
    caps = f"image/jpeg{_asked(granted.size, granted.fps)}"
    by = "nvv4l2decoder mjpeg=1" if decoder == "nvv4l2decoder" else decoder
    return f"v4l2src device={quoted(device)} ! {caps} ! jpegparse ! {by} ! {_FROM_NVIDIA}"


def csi_pipeline(address: CsiAddress) -> str:
    """A camera on the Jetson's own connector, through NVIDIA's image processor."""
    caps = f"video/x-raw(memory:NVMM),format=NV12{_asked(address.size, address.fps)}"
    return f"nvarguscamerasrc sensor-id={address.sensor} ! {caps} ! {_FROM_NVIDIA}"


def own_pipeline(address: GstreamerAddress) -> str:
    """The user's pipeline with our appsink at its end, in place of one that it ends in already."""
    words = list(PIPELINE_WORD.finditer(address.pipeline))
    links = [index for index, word in enumerate(words) if word[0] == "!"]
    ours_from = len(address.pipeline)
    if links and [word[0] for word in words[links[-1] + 1 :]][:1] in ([], ["appsink"]):
        ours_from = words[links[-1]].start()
    return f"{address.pipeline[:ours_from].rstrip()} ! {_BGR}"


def elements(pipeline: str) -> list[str]:
    """The elements that a pipeline of ours is made of, in order."""
    first_words = [part.split()[0] for part in pipeline.split(" ! ")]
    return [word for word in first_words if "/" not in word]


def quoted(value: str) -> str:
    """``value`` so that a pipeline's text holds it as it is, whatever characters are in it.

    GStreamer's scanner cannot tell an escaped backslash from one that escapes what follows, and
    splits at others. So every character but letters and digits is written as octal bytes in the
    quoted form that string properties are read in, and that form is escaped for the scanner.
    """
    inner = "".join(
        chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\{byte:03o}"
        for byte in value.encode()
    )
    return f'"{inner}"'.replace("\\", "\\\\").replace('"', '\\"')


def _asked(size: tuple[int, int] | None, fps: float | None) -> str:
    width_height = f",width={size[0]},height={size[1]}" if size else ""
    if fps is None:
        return width_height
    rate = Fraction(fps).limit_denominator(1001)
    return f"{width_height},framerate={rate.numerator}/{rate.denominator}"
