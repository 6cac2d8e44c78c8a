"""What a source text means, what is wrong with it, and that showing it shows no secret."""

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.capture.address import (
    CsiAddress,
    FileAddress,
    GstreamerAddress,
    RtspAddress,
    ShapesAddress,
    UsbAddress,
    parse_address,
)

FOLDER = Path("/srv/site")


def refusal(source: str) -> str:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 (the caller compares the sentence)
        parse_address(source, FOLDER)
    return str(raised.value)


def everything_shown_of(source: str) -> str:
    """All that anybody gets to see: the address in both forms, or the refusal."""
    try:
        address = parse_address(source, FOLDER)
    except ValueError as error:
        return str(error)
    return str(address) + repr(address)


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://10.0.0.4/stream1",
        "rtsps://camera.local:8554/a/b?channel=1",
        "rtsp://user:p%40ss@10.0.0.4/stream1",
        "rtsp://user@host",
        "rtsp://[2001:db8::1]:554/live",
        "rtsp://cam_1/x",
    ],
)
def test_rtsp_urls_are_kept_as_they_are(url: str) -> None:
    assert parse_address(url, FOLDER) == RtspAddress(url)


def test_scheme_may_be_in_capitals() -> None:
    assert parse_address("RTSP://host/Path", FOLDER) == RtspAddress("rtsp://host/Path")


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("usb:0", UsbAddress(0)),
        ("usb:2?size=1280x720&fps=30&fourcc=MJPG", UsbAddress(2, (1280, 720), 30.0, "MJPG")),
        ("usb:0?fourcc=Y16", UsbAddress(0, fourcc="Y16 ")),
        ("/dev/video0", UsbAddress("/dev/video0")),
        (
            "/dev/v4l/by-path/pci-0000:00:14.0-usb-0:1:1.0-video-index0?fps=12.5",
            UsbAddress("/dev/v4l/by-path/pci-0000:00:14.0-usb-0:1:1.0-video-index0", fps=12.5),
        ),
        ("file:clip.mp4", FileAddress(FOLDER / "clip.mp4")),
        ("file:/data/clip.mp4?loop=1", FileAddress(Path("/data/clip.mp4"), loop=True)),
        ("file:///data/a%20b%3F.mp4?pace=none", FileAddress(Path("/data/a b?.mp4"), pace=False)),
        ("file:c.mp4?loop=0&pace=real", FileAddress(FOLDER / "c.mp4")),
        ("shapes:", ShapesAddress(1, (640, 360), 15.0, None, 24.0)),
        (
            "shapes:?seed=7&size=320x240&fps=5&objects=0&min_size=40",
            ShapesAddress(7, (320, 240), 5.0, 0, 40.0),
        ),
        ("csi:0", CsiAddress(0)),
        ("csi:1?size=1280x720&fps=30", CsiAddress(1, (1280, 720), 30.0)),
        ("gstreamer:v4l2src !\n appsink\n", GstreamerAddress("v4l2src !  appsink")),
    ],
)
def test_sources_are_read(source: str, address: object) -> None:
    assert parse_address(source, FOLDER) == address


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("", "must not be empty"),
        ("rstp://u:secret@h/x", "unknown scheme 'rstp' (did you mean 'rtsp'?)"),
        ("shape:?seed=1", "unknown scheme 'shape' (did you mean 'shapes'?)"),
        (
            "http://h/x",
            "unknown scheme 'http' (known are rtsp, rtsps, usb, file, shapes, csi, gstreamer)",
        ),
        (
            "https://h/x",
            "unknown scheme 'https' (known are rtsp, rtsps, usb, file, shapes, csi, gstreamer)",
        ),
        ("clip.mp4", "is not a source; for a video file write 'file:clip.mp4'"),
        ("0", "is not a source; for a USB camera write 'usb:0'"),
        ("shapes", "needs a colon and what to open: 'shapes:'"),
        (
            "admin:secret@10.0.0.4/x",
            "is not a source; a network camera is written rtsp://user:password@host/path",
        ),
        ("rtsp:host/x", "must be written rtsp://host/path"),
        ("rtsp://", "has no host: it must be written rtsp://host/path"),
        ("rtsp://u:p@/x", "has no host: it must be written rtsp://host/path"),
        ("rtsp://:554/x", "has no host: it must be written rtsp://host/path"),
        ("rtsp://h:0/x", "has a port that is not from 1 to 65535"),
        ("rtsp://h:65536/x", "has a port that is not from 1 to 65535"),
        ("rtsp://h/a b", "must not contain a space (write it as %20)"),
        ("rtsp://[::zz]/x", "has an IPv6 address in brackets that is not valid"),
        ("usb:front", "must give the camera's number, like usb:0, or be a path like /dev/video0"),
        ("usb:0?sise=1x1", "unknown option 'sise' (did you mean 'size'?)"),
        ("usb:0?xyz=1", "unknown option 'xyz' (known are size, fps, fourcc)"),
        ("usb:0?size=big", "has a size that is not WIDTHxHEIGHT in pixels, like 1280x720"),
        ("usb:0?fps=0", "fps must be a number from 0.1 to 1000"),
        ("usb:0?fps=nan", "fps must be a number from 0.1 to 1000"),
        ("usb:0?fourcc=MJPEG", "has a fourcc that is not a code of four characters, like MJPG"),
        ("usb:0?fps=30&fps=15", "option 'fps' is given twice"),
        ("usb:0?fps", "option 'fps' has no value"),
        ("/dev/", "must name a device, like /dev/video0"),
        ("file:", "must name a file, like file:clip.mp4"),
        ("file:a.mp4?loop=yes", "loop must be one of 0, 1"),
        ("file:a.mp4?pace=fast", "pace must be one of real, none"),
        ("file:a%FF.mp4", "has percent-encoded bytes that are not UTF-8"),
        (
            "file://clip.mp4",
            "must be written file:NAME or file:///FOLDER/NAME (two slashes name a host)",
        ),
        ("shapes:7", "must be written shapes: or shapes:?seed=1"),
        ("shapes:?objects=9", "objects must be a whole number from 0 to 8"),
        ("shapes:?min_size=23.9", "min_size must be a number from 24 to 160"),
        ("shapes:?size=3841x1080", "has a size that is not from 32x32 to 3840x2160"),
        ("shapes:?seed=-1", "seed must be a whole number from 0 to 4294967295"),
        ("csi:", "must give the sensor's number, like csi:0"),
        ("csi:0?fourcc=MJPG", "unknown option 'fourcc' (known are size, fps)"),
        ("gstreamer: ", "must give a pipeline, like gstreamer:v4l2src ! videoconvert"),
        ("usb:0\x00", "contains a character that cannot be printed"),
    ],
)
def test_wrong_sources_get_one_sentence(source: str, sentence: str) -> None:
    assert refusal(source) == sentence


@pytest.mark.parametrize(
    "url", ["rtsp://u:sec/ret@h/x", "rtsp://u:12/3@h/x", "rtsp://u:sec?ret@h/x", "rtsp://u:1#2@h/x"]
)
def test_unencoded_password_is_refused_with_the_codes_and_without_it(url: str) -> None:
    assert refusal(url) == (
        "has an @ behind the host "
        "(in a user name or password write / as %2F, ? as %3F, # as %23 and @ as %40)"
    )


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("rtsp://h:554/live", "rtsp://h:554/live"),
        ("rtsp://user:secret@10.0.0.4/stream1", "rtsp://***@10.0.0.4/stream1"),
        ("rtsp://user@h/x", "rtsp://***@h/x"),
        ("rtsp://us@er:sec@ret@h/x", "rtsp://***@h/x"),
        ("rtsps://h/x?user=admin&password=secret", "rtsps://h/x?***"),
        ("rtsp://h/user=admin_password=secret_channel=1.sdp", "rtsp://h/***"),
        ("usb:0?fps=30&size=1280x720", "usb:0?size=1280x720&fps=30"),
        ("file:a%25.mp4?loop=1&pace=none", "file:/srv/site/a%25.mp4?loop=1&pace=none"),
        ("shapes:?objects=5", "shapes:?seed=1&size=640x360&fps=15&objects=5&min_size=24"),
        ("csi:1", "csi:1"),
        ("csi:1?fps=29.97&size=1280x720", "csi:1?size=1280x720&fps=29.97"),
        (
            'gstreamer:rtspsrc location=rtsp://h/ user-id=bob user-pw = "se ! cret" ! decodebin',
            "gstreamer:rtspsrc *** ! decodebin",
        ),
        ('gstreamer:rtspsrc user-pw="secret ! decodebin', "gstreamer:***"),
    ],
)
def test_addresses_are_shown_without_secrets(source: str, shown: str) -> None:
    assert str(parse_address(source, FOLDER)) == shown


def test_repr_is_as_safe_as_str() -> None:
    camera = parse_address("rtsp://user:secret@h/x", FOLDER)
    pipeline = parse_address("gstreamer:rtspsrc user-pw=secret ! fakesink", FOLDER)
    assert repr([camera, pipeline]) == (
        "[RtspAddress(rtsp://***@h/x), GstreamerAddress(gstreamer:rtspsrc *** ! fakesink)]"
    )


unhurried = settings(deadline=None)  # a busy machine is no failure
PASSWORDS = st.text("QWXZ@:/?#%&='\" \\!", min_size=1).map(lambda text: f"QXZ{text}QXZ")


@unhurried
@given(PASSWORDS)
def test_no_encoded_password_survives_in_a_url(password: str) -> None:
    encoded = quote(password, safe="")
    address = parse_address(f"rtsp://user:{encoded}@camera/live?key={encoded}", FOLDER)
    assert "QXZ" not in str(address) + repr(address)


@unhurried
@given(PASSWORDS)
def test_no_raw_password_survives_in_a_url_or_its_refusal(password: str) -> None:
    assert "QXZ" not in everything_shown_of(f"rtsp://user:{password}@camera/live")


@unhurried
@given(PASSWORDS, st.sampled_from(["user-pw", "user-id", "location", "token"]))
def test_no_quoted_password_survives_in_a_pipeline(password: str, key: str) -> None:
    quoted = password.replace("\\", "\\\\").replace('"', '\\"')
    address = parse_address(f'gstreamer:rtspsrc {key}="{quoted}" ! fakesink', FOLDER)
    assert "QXZ" not in str(address) + repr(address)
    assert str(address) == "gstreamer:rtspsrc *** ! fakesink"


SCHEMES = ["", "rtsp:", "rtsp://", "usb:", "file:", "shapes:?", "csi:", "gstreamer:", "/dev/"]


@unhurried
@given(st.sampled_from(SCHEMES), st.text() | st.text("0123456789xX:/?&=@[].%-size_fpo"))
def test_any_text_is_an_address_or_a_value_error(scheme: str, rest: str) -> None:
    shown = everything_shown_of(scheme + rest)
    assert shown
    assert shown.isprintable()


@unhurried
@given(
    st.builds(
        ShapesAddress,
        seed=st.integers(0, 2**32 - 1),
        size=st.tuples(st.integers(32, 3840), st.integers(32, 2160)),
        fps=st.sampled_from([0.5, 15.0, 29.97]),
        objects=st.none() | st.integers(0, 8),
        min_size=st.integers(24, 160).map(float),
    )
)
def test_what_is_shown_of_a_synthetic_camera_is_its_source(address: ShapesAddress) -> None:
    assert parse_address(str(address), FOLDER) == address
