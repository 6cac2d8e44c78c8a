"""Reads cameras in Debian's own Python, into which GStreamer loads the stand-ins of `gst_plugins`.

Each line on standard input is a call as JSON, its ``do`` the name of a method of `Reader`; each
answer is one line.
"""

import json
import logging
import sys
import time
from pathlib import Path

import numpy as np

from edge.capture.address import parse_address
from edge.capture.camera import Camera
from edge.capture.decoders import SourceOpener
from edge.capture.gstreamer import GstreamerSource
from edge.capture.slot import FrameSlots
from edge.capture.source import Source, SourceError
from edge.capture.timing import Backoff
from edge.config import CameraSettings
from edge.metrics import Metrics

Answer = dict[str, object]


class Log(logging.Handler):
    """What was logged since it was last asked for."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.levelname} {record.getMessage()}")


class Reader:
    def __init__(self, folder: Path) -> None:
        self._folder, self._ahead_s, self._pictures = folder, 0.0, 0
        self._opener = self._new_opener()
        self._source: Source | None = None
        self._camera: Camera | None = None
        self._slots, self._metrics = FrameSlots(["dock"]), Metrics()

    def _new_opener(self) -> SourceOpener:
        return SourceOpener(keyframe_wait_s=3.0, monotonic=self._monotonic)

    def _monotonic(self) -> float:
        return time.monotonic() + self._ahead_s

    # -- one source -------------------------------------------------------------------------------

    def open(self, **settings: object) -> Answer:
        """With the opener of the calls before: it remembers how hardware did."""
        self._source = self._opener(_settings(**settings), 0)
        self._source.open()
        return {
            "decoder": self._source.decoder,
            "fallen_back": self._source.fallen_back,
            "stream": str(self._source.description),
        }

    def run(self, pipeline: str) -> Answer:
        """A pipeline's text as it stands."""
        self._source = GstreamerSource("pipeline", pipeline, "nvidia", 1.0)
        self._source.open()
        return {}

    def grab(self, number: int = 1) -> Answer:
        assert self._source is not None
        times = []
        try:
            for _ in range(number):
                self._source.grab()
                times.append(time.monotonic())
        except SourceError as error:
            return {"error": str(error), "times": times}
        return {"times": times}

    def picture(self) -> Answer:
        assert self._source is not None
        return self._saved(self._source.retrieve())

    def close(self) -> Answer:
        assert self._source is not None
        self._source.close()
        return {}

    def forget(self) -> Answer:
        self._opener = self._new_opener()
        return {}

    def pass_time(self, seconds: float) -> Answer:
        """Let the opener believe so."""
        self._ahead_s += seconds
        return {}

    # -- a camera ---------------------------------------------------------------------------------

    def start(self, **settings: object) -> Answer:
        backoff = Backoff(first_s=0.2, most_s=0.5)
        self._slots, self._metrics = FrameSlots(["dock"]), Metrics()
        self._camera = Camera(
            _settings(**settings),
            self._slots["dock"],
            self._metrics,
            opener=self._new_opener(),
            backoff=backoff,
        )
        self._camera.start()
        return {}

    def frame(self) -> Answer:
        """The camera's next frame and how the camera is after it."""
        assert self._camera is not None
        frame = self._slots.take(20)
        assert frame is not None, self._camera.reason
        return {**self.look(), "id": frame.id, **self._saved(frame.image)}

    def look(self) -> Answer:
        assert self._camera is not None
        count = self._metrics.registry.get_sample_value
        decoder = {"camera": "dock", "decoder": self._camera.decoder}
        return {
            "state": self._camera.state(self._camera._clock.uptime_s()),
            "decoder": self._camera.decoder,
            "fallen_back": self._camera.fallen_back,
            "reason": self._camera.reason,
            "info": count("rfdetr_edge_camera_info", decoder),
            "reconnects": count("rfdetr_edge_camera_reconnects_total", {"camera": "dock"}),
        }

    def stop(self) -> Answer:
        assert self._camera is not None
        self._camera.stop()
        return {"ended": self._camera.join(20)}

    def _saved(self, image: np.ndarray) -> Answer:
        assert image.flags.c_contiguous
        assert image.flags.writeable
        self._pictures += 1
        file = self._folder / f"{self._pictures}.npy"
        np.save(file, image)
        return {"picture": str(file)}


def _settings(
    source: str, read_timeout_s: float = 1.0, open_timeout_s: float = 5.0, **more: object
) -> CameraSettings:
    return CameraSettings.model_construct(
        id="dock",
        source=parse_address(source, Path("/")),
        open_timeout_s=open_timeout_s,
        read_timeout_s=read_timeout_s,
        **more,
    )


def main() -> None:
    log = Log()
    logging.basicConfig(level=logging.INFO, handlers=[log])
    reader = Reader(Path(sys.argv[1]))
    for line in sys.stdin:
        call = json.loads(line)
        try:
            answer = getattr(reader, call.pop("do"))(**call)
        except SourceError as error:
            answer = {"error": str(error)}
        answer["logged"], log.lines = log.lines, []
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
