"""The text of pipelines. That they run: test_hardware_decode.py."""

import pytest

from edge.capture.address import CsiAddress, GstreamerAddress, RtspAddress
from edge.capture.gstreamer_pipeline import element_of, without_addresses
from edge.capture.pipelines import (
    csi_pipeline,
    elements,
    mjpg_pipeline,
    own_pipeline,
    quoted,
    rtsp_pipeline,
)
from edge.capture.source import StreamInfo

BGR = (
    "videoconvert ! video/x-raw,format=BGR "
    "! appsink name=rfdetr_edge_pictures drop=true max-buffers=1 sync=false"
)
FROM_NVIDIA = f"nvvidconv ! video/x-raw,format=BGRx ! {BGR}"


def test_an_rtsp_pipeline_keeps_credentials_out_of_the_location() -> None:
    address = RtspAddress("rtsp://bob:p%20w@10.0.0.4:8554/cam?x=1")
    assert rtsp_pipeline(address, "hevc", "udp", 5.0, 2.5) == (
        f"rtspsrc location={quoted('rtsp://10.0.0.4:8554/cam?x=1')} protocols=udp latency=100 "
        f"drop-on-latency=true tcp-timeout=5000000 timeout=2500000 user-id={quoted('bob')} "
        f"user-pw={quoted('p w')} ! application/x-rtp,media=video,encoding-name=H265 "
        "! rtph265depay ! h265parse name=rfdetr_edge_parser ! nvv4l2decoder "
        f"! {FROM_NVIDIA}"
    )


def test_a_certificate_is_verified_as_little_as_in_software() -> None:
    pipeline = rtsp_pipeline(RtspAddress("rtsps://h/cam"), "h264", "tcp", 5.0, 3.0)
    assert " tls-validation-flags=0 ! " in pipeline
    assert "user-" not in pipeline


def test_a_mjpg_pipeline_asks_for_what_was_granted() -> None:
    granted = StreamInfo("MJPG", (1280, 720), 30000 / 1001)
    start = f"v4l2src device={quoted('/dev/video0')} ! image/jpeg,width=1280,height=720"
    assert mjpg_pipeline("/dev/video0", granted, "nvv4l2decoder") == (
        f"{start},framerate=30000/1001 ! jpegparse ! nvv4l2decoder mjpeg=1 ! {FROM_NVIDIA}"
    )
    assert " ! jpegparse ! nvjpegdec ! " in mjpg_pipeline("/dev/video0", granted, "nvjpegdec")


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        (CsiAddress(0), ""),
        (CsiAddress(0, (1920, 1080), 30.0), ",width=1920,height=1080,framerate=30/1"),
        (CsiAddress(0, fps=7.5), ",framerate=15/2"),
    ],
)
def test_a_csi_pipeline_stays_in_nvidia_s_memory_until_it_is_converted(
    address: CsiAddress, asked: str
) -> None:
    assert csi_pipeline(address) == (
        "nvarguscamerasrc sensor-id=0 "
        f"! video/x-raw(memory:NVMM),format=NV12{asked} ! {FROM_NVIDIA}"
    )
    assert elements(csi_pipeline(address)) == [
        *("nvarguscamerasrc", "nvvidconv", "videoconvert", "appsink")
    ]


@pytest.mark.parametrize(
    ("own", "kept"),
    [
        ("videotestsrc", "videotestsrc"),
        ("videotestsrc ! videoconvert ! appsink", "videotestsrc ! videoconvert"),
        ("videotestsrc ! appsink drop=false name=x", "videotestsrc"),
        ("videotestsrc !", "videotestsrc"),
        (
            "filesrc location='a ! appsink' ! decodebin",
            "filesrc location='a ! appsink' ! decodebin",
        ),
        ("a ! tee name=t ! appsink  t. ! b", "a ! tee name=t ! appsink  t. ! b"),
    ],
)
def test_a_pipeline_of_the_user_s_own_ends_in_our_appsink(own: str, kept: str) -> None:
    assert own_pipeline(GstreamerAddress(own)) == f"{kept} ! {BGR}"


def test_quoted_text_is_one_word_that_ends_in_a_quote() -> None:
    for value in ("", "plain", 'a"b\\', "\\", "a ! b", "ü", "NULL"):
        text = quoted(value)
        assert text.isascii()
        assert " " not in text
        assert text.startswith('\\"')
        assert text.endswith('\\"')
    assert quoted("a\\") == '\\"a\\\\134\\"'


@pytest.mark.parametrize(
    ("details", "element"),
    [
        (
            "../gst/tcp.c(12): gst_rtspsrc_open (): /GstPipeline:pipeline7/GstRTSPSrc:rtspsrc12:\n"
            "Failed to connect.",
            "rtspsrc",
        ),
        (
            "../ext/soup.c(9): parse (): /GstPipeline:pipeline0/GstSoupHTTPSrc:door:\n"
            "Unauthorized (401), URL: http://viewer:secret@10.0.0.4/x, Redirect to: (NULL)",
            "door",
        ),
        ("http://viewer:secret@10.0.0.4/x:y", "GStreamer"),
        ("", "GStreamer"),
    ],
)
def test_the_element_that_failed_is_read_from_its_path_alone(details: str, element: str) -> None:
    assert element_of(details) == element


def test_addresses_are_left_out_of_errors() -> None:
    assert without_addresses('No such file "http://u:p w@h/x".') == "No such file *** ***"
    assert without_addresses("Could not open rtsp:/u:p@h/x?token=1 now") == "Could not open *** now"
    assert without_addresses("Unauthorized: 12/20") == "Unauthorized: 12/20"
