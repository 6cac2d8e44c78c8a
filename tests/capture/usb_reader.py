"""Reads a USB camera in a process of its own, into which the fake device can be preloaded.

Each line on standard input is a call to make; each answer is one line of JSON.
"""

import json
import logging
import sys

from edge.capture.address import UsbAddress
from edge.capture.source import SourceError
from edge.capture.v4l2 import V4l2Source

logged: list[str] = []


class Recorder(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        logged.append(f"{record.levelname} {record.getMessage()}")


def main() -> None:
    logging.basicConfig(level=logging.INFO, handlers=[Recorder()])
    settings = json.loads(sys.argv[1])
    if settings.get("size"):
        settings["size"] = tuple(settings["size"])
    source = V4l2Source(UsbAddress(**settings), read_timeout_s=3.0)
    for line in sys.stdin:
        answer: dict[str, object] = {}
        try:
            match line.strip():
                case "open":
                    source.open()
                    answer["description"] = str(source.description)
                case "read":
                    source.grab()
                    image = source.retrieve()
                    answer["shape"], answer["level"] = image.shape, int(image[0, 0, 0])
                case "close":
                    source.close()
        except SourceError as error:
            answer["error"] = str(error)
        answer["logged"] = logged[:]
        logged.clear()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
