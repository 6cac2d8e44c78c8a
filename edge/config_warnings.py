"""What a good configuration should still be told about."""

import ipaddress
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge.capture.address import RtspAddress, UsbAddress
from edge.config_file import KeyPath

if TYPE_CHECKING:
    from edge.config import Config, HttpSettings


def config_warnings(config: "Config") -> Iterator[tuple[KeyPath, str]]:
    """Values that do nothing, and open doors."""
    for i, camera in enumerate(config.cameras):
        if camera.decoder != "auto" and not isinstance(camera.source, RtspAddress | UsbAddress):
            yield ("cameras", i, "decoder"), "has no effect on a source that is not rtsp: or usb:"
    if _is_open(config.http):
        yield (
            ("http", "host"),
            "anybody on the network can see the cameras (set token_file, or username and "
            "password_file)",
        )


def _is_open(http: "HttpSettings") -> bool:
    if http.token_file is not None or http.password_file is not None:
        return False
    try:
        return not ipaddress.ip_address(http.host).is_loopback
    except ValueError:  # a name
        return http.host != "localhost"
