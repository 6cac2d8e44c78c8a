"""What ``decoder:`` leads to where there is hardware and where there is none."""

from pathlib import Path

import pytest
from rtsp_server import RtspServer, pattern

from edge.capture import nvjpeg
from edge.capture.address import parse_address
from edge.capture.decoders import SourceOpener
from edge.capture.libgstreamer import GstreamerSupport, has_element
from edge.capture.source import SourceError, open_source
from edge.config import CameraSettings

pytestmark = pytest.mark.timeout(60)


def settings(source: str, decoder: str = "auto") -> CameraSettings:
    return CameraSettings.model_construct(
        id="cam", source=parse_address(source, Path("/")), decoder=decoder
    )


def support(*elements: str, installed: bool = True) -> GstreamerSupport:
    return GstreamerSupport(lambda: installed, lambda name: name in elements)


USUAL = ("rtspsrc", "rtph264depay", "h264parse", "videoconvert", "appsink")
JETSON = ("nvv4l2decoder", "nvvidconv")


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("decoder", "there_is", "why"),
    [
        ("auto", support(*USUAL), ""),
        ("auto", support(installed=False), ""),
        ("software", support(*USUAL, *JETSON), ""),
        ("auto", support(*JETSON), "GStreamer has no rtspsrc, rtph264depay, h264parse, "),
        ("nvidia", support(*USUAL), "GStreamer has no nvv4l2decoder, nvvidconv (NVIDIA's "),
        ("nvidia", support(installed=False), "GStreamer is not installed"),
    ],
)
def test_software_where_there_is_no_hardware(
    decoder: str, there_is: GstreamerSupport, why: str
) -> None:
    with RtspServer({"cam": pattern()}) as server:
        source = SourceOpener(there_is)(settings(server.url("cam"), decoder), 0)
        source.open()
        source.grab()
        source.close()
    assert source.decoder == "software"
    assert source.fallen_back.startswith(why)
    assert bool(source.fallen_back) == bool(why)


def test_what_gstreamer_has_is_read_from_its_registry() -> None:
    assert has_element("fakesink")
    assert not has_element("nvv4l2decoder")


def test_a_csi_camera_without_nvidia_s_plugins_is_named() -> None:
    source = open_source(settings("csi:0"), 0)
    with pytest.raises(SourceError) as raised:
        source.open()
    source.close()
    assert str(raised.value) == (
        "csi:0: GStreamer has no nvarguscamerasrc, nvvidconv (NVIDIA's plugins come with JetPack)"
    )


def test_a_process_without_cuda_has_no_jpeg_decoder_on_the_gpu() -> None:
    assert nvjpeg.jpeg_decoder() is None
