"""Reads a USB camera in a process of its own, into which the fake device can be preloaded.

Each line on standard input is a call to make; each answer is one line of JSON.
"""

import json
import logging
import sys

import cv2
import numpy as np

from edge.capture.address import UsbAddress
from edge.capture.source import DamagedFrame, SourceError
from edge.capture.v4l2 import V4l2Source

logged: list[str] = []


class Recorder(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        logged.append(f"{record.levelname} {record.getMessage()}")


def decode_jpeg(data: np.ndarray) -> np.ndarray:
    """In the place of nvJPEG; says what it was given."""
    logged.append(f"JPEG {bytes(data[:2]).hex()}…{bytes(data[-2:]).hex()}")
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if picture is None:
        raise DamagedFrame
    return picture


def main() -> None:
    logging.basicConfig(level=logging.INFO, handlers=[Recorder()])
    settings = json.loads(sys.argv[1])
    if settings.get("size"):
        settings["size"] = tuple(settings["size"])
    decoder = decode_jpeg if settings.pop("decode_jpeg", False) else None
    source = V4l2Source(UsbAddress(**settings), 3.0, decoder)
    for line in sys.stdin:
        answer: dict[str, object] = {}
        try:
            match line.strip():
                case "open":
                    source.open()
                    answer["description"] = str(source.description)
                    answer["codec"], answer["decoder"] = source.codec, source.decoder
                case "read":
                    source.grab()
                    image = source.retrieve()
                    answer["shape"], answer["level"] = image.shape, int(image[0, 0, 0])
                    answer["bgr"] = image.mean(axis=(0, 1)).round().tolist()
                case "close":
                    source.close()
        except DamagedFrame:
            answer["damaged"] = True
        except SourceError as error:
            answer["error"] = str(error)
        answer["logged"] = logged[:]
        logged.clear()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
