"""The process that runs `pipeline_reader.py`, as tests see it."""

import json
import os
import select
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYTHON = ROOT / ".venv-gstreamer" / "bin" / "python"


class PipelineWorker:
    """``worker.call("open", source=...)``; NVIDIA's elements are there, as stand-ins."""

    def __init__(self, folder: Path, **environment: str) -> None:
        assert PYTHON.exists(), "`make setup` makes .venv-gstreamer"
        self._control, self._stderr = folder / "control", folder / "stderr"
        self.nvidia_is("work")
        with self._stderr.open("w") as stderr:
            self._process = subprocess.Popen(
                [PYTHON, HERE / "pipeline_reader.py", folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "GST_PLUGIN_PATH": str(HERE / "gst_plugins"),
                    "GST_REGISTRY": str(folder / "registry"),
                    "NVIDIA_STANDIN_CONTROL": str(self._control),
                    **environment,
                },
            )

    def nvidia_is(self, word: str) -> None:
        """How the stand-ins behave: "work", "refuse" to start, or be "silent"."""
        self._control.write_text(word)

    def call(self, do: str, **arguments: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"do": do, **arguments}), file=self._process.stdin, flush=True)
        readable, _, _ = select.select([self._process.stdout], [], [], 60)
        assert readable, f"{do}: no answer in 60 s"
        line = self._process.stdout.readline()
        assert line, f"{do}: {self._stderr.read_text()[-2000:]}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def picture(self) -> npt.NDArray[np.uint8]:
        return self.load(self.call("picture"))

    @staticmethod
    def load(answer: dict[str, Any]) -> npt.NDArray[np.uint8]:
        picture: npt.NDArray[np.uint8] = np.load(answer["picture"])
        return picture

    @property
    def printed(self) -> str:
        return self._stderr.read_text(errors="replace")

    def close(self) -> None:
        with self._process:  # closes its pipes, which ends it, and waits
            pass
