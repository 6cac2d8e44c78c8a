"""Looks at what may crash or hang the process that looks: ``python -m edge.doctor.probe``.

Run by `edge.doctor.machine.run_probe`. The answer is one JSON object on standard output; whatever
the libraries print of themselves goes to standard error.
"""

import contextlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edge.report import first_line


def torch_facts(wanted: str) -> dict[str, Any]:
    """About torch, and whether a daemon with ``model.device: wanted`` would start with it."""
    import torch

    facts: dict[str, Any] = {"version": torch.__version__, "cuda": torch.version.cuda}
    try:
        torch.ones(1).numpy()
        import numpy

        facts["numpy"] = numpy.__version__
    except Exception as error:
        facts["numpy_error"] = first_line(error)
    try:
        import torchvision

        facts["torchvision"] = torchvision.__version__
    except ModuleNotFoundError:
        facts["torchvision"] = None
    except Exception as error:
        facts["torchvision_error"] = first_line(error)
    facts.update(_cuda_facts())

    from edge.inference.device import choose_device

    try:
        choose_device(wanted)
    except Exception as error:
        if not hasattr(error, "exit_code"):
            raise
        facts["refusal"] = str(error)
    return facts


def _cuda_facts() -> dict[str, Any]:
    import torch

    if torch.version.cuda is None:
        return {"available": False}
    facts: dict[str, Any] = {"available": torch.cuda.is_available()}
    with contextlib.suppress(Exception):  # private, and not in every build
        facts["architectures"] = str(torch._C._cuda_getArchFlags()).split()
        facts["driver_cuda"] = torch._C._cuda_getDriverVersion()  # type: ignore[attr-defined]
    try:
        # What the daemon does most, once: it loads cuDNN and needs code for this very GPU.
        device = torch.device("cuda:0")
        picture = torch.ones(1, 3, 32, 32, device=device, dtype=torch.float16)
        kernel = torch.ones(8, 3, 3, 3, device=device, dtype=torch.float16)
        torch.nn.functional.conv2d(picture, kernel).sum().item()
        major, minor = torch.cuda.get_device_capability(device)
        facts |= {"name": torch.cuda.get_device_name(device), "capability": f"sm_{major}{minor}"}
    except Exception as error:
        facts["error"] = first_line(error)
    return facts


def opencv_facts() -> dict[str, Any]:
    import cv2

    information = cv2.getBuildInformation()
    gstreamer = re.search(r"GStreamer:\s+(\w+)", information)
    return {
        "version": cv2.__version__,
        "file": cv2.__file__,
        "gstreamer": gstreamer is not None and gstreamer[1] == "YES",
    }


def gstreamer_facts(*elements: str) -> dict[str, Any]:
    from edge.capture.libgstreamer import has_element, library

    installed = library() is not None
    return {"installed": installed, **{element: has_element(element) for element in elements}}


def model_facts(config_file: str) -> dict[str, Any]:
    """The checkpoint of a configuration, read as data; nothing is computed with it."""
    from edge.config import load_config
    from edge.model_loading import read_checkpoint

    config = load_config(Path(config_file)).config
    try:
        checkpoint, _ = read_checkpoint(config, config_file)
    except Exception as error:
        return {"error": str(error)}
    return {
        "variant": checkpoint.variant.name,
        "sha256": checkpoint.sha256,
        "labels": sum(name is not None for name in checkpoint.names),
    }


def camera_facts(config_file: str, number: str) -> dict[str, Any]:
    """Open the camera as the daemon does and take its first frame."""
    from edge.capture.decoders import SourceOpener
    from edge.capture.source import DamagedFrame, EndOfSource, SourceError
    from edge.config import load_config

    settings = load_config(Path(config_file)).config.cameras[int(number)]
    started_s = time.monotonic()
    try:
        source = SourceOpener()(settings, 0)
        source.open()
        while True:
            source.grab()
            try:
                image = source.retrieve()
                break
            except DamagedFrame:
                pass  # the source itself gives up when they all are
    except SourceError as error:
        return {"error": str(error)}
    except EndOfSource:
        return {"error": f"{settings.source}: has no frame"}
    return {
        "size": [image.shape[1], image.shape[0]],
        "stream": str(source.description),
        "decoder": source.decoder,
        "fallen_back": source.fallen_back,
        "seconds": time.monotonic() - started_s,
    }


PROBES: Mapping[str, Callable[..., dict[str, Any]]] = {
    "torch": torch_facts,
    "opencv": opencv_facts,
    "gstreamer": gstreamer_facts,
    "model": model_facts,
    "camera": camera_facts,
}


def main(limit_s: str, name: str, *arguments: str) -> None:
    # The alarm ends this process also where a library hangs, and where nobody waits any more.
    signal.setitimer(signal.ITIMER_REAL, float(limit_s))
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answer:
        os.dup2(2, 1)
        try:
            facts = PROBES[name](*arguments)
        except Exception as error:
            facts = {"failed": first_line(error), "missing": _missing_module(error)}
        json.dump(facts, answer)
    # No tidying up: a half-loaded library may crash in it.
    os._exit(0)


def _missing_module(error: Exception) -> str | None:
    return error.name if isinstance(error, ModuleNotFoundError) else None


if __name__ == "__main__":
    main(*sys.argv[1:])
