"""From the configuration's model section to a warm engine."""

import dataclasses
import logging
import platform
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from edge.config import Config, ConfigError
from edge.inference.device import choose_device, choose_precision, speed_up
from edge.inference.engine import Engine
from edge.inference.host_memory import keep_freed_memory
from edge.inference.thresholds import named_thresholds, unknown_label
from edge.metrics import Metrics
from edge.model_source import DEMO_ID, open_checkpoint
from edge.rfdetr.checkpoint import Checkpoint, build_model
from edge.version import __version__

log = logging.getLogger(__name__)


class LoadedModel(NamedTuple):
    checkpoint: Checkpoint
    engine: Engine


def label_problems(config: Config, config_file: str, names: Sequence[str | None]) -> list[str]:
    """One line for each label that a camera asks for and the model (labels by row) lacks."""
    return [
        f"{config_file}: cameras[{number}].classes: {unknown_label(label, names)}"
        for number, camera in enumerate(config.cameras)
        for label in camera.classes or ()
        if label not in names
    ]


def read_checkpoint(config: Config, config_file: str) -> tuple[Checkpoint, npt.NDArray[np.float32]]:
    """The configured checkpoint, and its threshold by class row.

    Raises ``ConfigError`` where the configuration names a label that the model does not have, and
    what ``open_checkpoint`` raises.
    """
    settings = config.model
    source = settings.path or settings.id or DEMO_ID
    checkpoint = open_checkpoint(source, settings.type, settings.labels, config.cache_dir)
    problems = label_problems(config, config_file, checkpoint.names)
    try:
        threshold = named_thresholds(checkpoint.names, settings.confidence)
    except ValueError as error:
        problems.append(f"{config_file}: model.confidence: {error}")
    if problems:
        raise ConfigError(problems)
    return checkpoint, threshold


def describe(model: LoadedModel, metrics: Metrics) -> None:
    """Say in the metrics which model runs, and on what."""
    metrics.model_info.clear()
    metrics.model_info.labels(
        model=model.checkpoint.variant.name,
        sha256=model.checkpoint.sha256,
        device=str(model.engine.device),
        precision=str(model.engine.precision).removeprefix("torch."),
    ).set(1)
    metrics.build_info.labels(
        version=__version__, torch=torch.__version__, python=platform.python_version()
    ).set(1)


def load_model(config: Config, config_file: str) -> LoadedModel:
    """Find the device, read the checkpoint, build the network and warm it up.

    Raises what ``choose_device`` and ``read_checkpoint`` raise.
    """
    settings = config.model
    device = choose_device(settings.device)
    precision = choose_precision(settings.precision, device)
    if device.type == "cpu" and precision != torch.float32 and (gain := speed_up(precision)) < 1:
        log.warning(
            "this CPU multiplies %s %.1f times slower than fp32: better leave model.precision out",
            settings.precision,
            1 / gain,
        )
    checkpoint, threshold = read_checkpoint(config, config_file)
    model = build_model(checkpoint)
    # The network has the weights now; on a board whose GPU shares the memory a copy is dear.
    checkpoint = dataclasses.replace(checkpoint, state_dict={})
    engine = Engine(
        model,
        device,
        precision,
        threshold,
        settings.resize,
        settings.max_detections,
    )
    engine.warm_up()
    keep_freed_memory()
    log.info(
        "model %s, %d px, %d labels, on %s in %s",
        checkpoint.variant.name,
        checkpoint.resolution,
        sum(name is not None for name in checkpoint.names),
        device,
        str(precision).removeprefix("torch."),
    )
    return LoadedModel(checkpoint, engine)
