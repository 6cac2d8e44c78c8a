"""The library's front door: a checkpoint or a model id, pictures in, predictions out."""

import os
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from edge.detections import Detections
from edge.frame import Image
from edge.inference.device import choose_device, choose_precision
from edge.inference.engine import Engine
from edge.inference.stage_times import StageTimes
from edge.inference.thresholds import Confidence, row_thresholds
from edge.masks import full_masks
from edge.model_source import open_checkpoint
from edge.rfdetr.checkpoint import Checkpoint, build_model
from edge.rfdetr.labels import Names

if TYPE_CHECKING:
    import supervision


class Predictions:
    """What was found in one picture of H x W pixels, best first; torch tensors on the CPU:
    ``xyxy`` float32 [K, 4] in pixels, ``class_id`` int64 [K] (the checkpoint's class row),
    ``confidence`` float32 [K], ``mask`` bool [K, H, W], ``class_names`` K strings.
    """

    def __init__(self, detections: Detections, names: Names, device: torch.device) -> None:
        self._detections = detections
        self._device = device
        self.class_names = [shown_name(names, int(row)) for row in detections.class_id]

    def __len__(self) -> int:
        return len(self._detections)

    @property
    def xyxy(self) -> Tensor:
        return torch.from_numpy(self._detections.box)

    @property
    def class_id(self) -> Tensor:
        return torch.from_numpy(self._detections.class_id)

    @property
    def confidence(self) -> Tensor:
        return torch.from_numpy(self._detections.score)

    @cached_property
    def mask(self) -> Tensor:
        """The official full-resolution masks: mask logits resized bilinearly, > 0."""
        found = self._detections
        return torch.from_numpy(full_masks(found.mask_logits, found.frame_size, self._device))

    def to_supervision(self) -> "supervision.Detections":
        """As ``supervision.Detections``, with ``data["class_name"]``."""
        import supervision  # late: it brings matplotlib and scipy

        return supervision.Detections(
            xyxy=self._detections.box,
            mask=self.mask.numpy(),
            confidence=self._detections.score,
            class_id=self._detections.class_id,
            data={"class_name": np.array(self.class_names, dtype=object)},
        )


def shown_name(names: Names, row: int) -> str:
    """A class row's name; of an unnamed one what the official package says."""
    name = names[row]
    if name is not None:
        return name
    return "__background__" if row == len(names) - 1 else ""


class AutoModel:
    """An RF-DETR-Seg model, ready to run. Not to be called from two threads at once."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = "auto",
        precision: str = "auto",
        confidence: Confidence = 0.5,
        resize: Literal["plain", "antialias"] = "plain",
        max_detections: int = 100,
    ) -> None:
        self.variant = checkpoint.variant.name
        self.names = checkpoint.names
        self.sha256 = checkpoint.sha256
        torch_device = choose_device(device)
        self._engine = Engine(
            build_model(checkpoint),
            torch_device,
            choose_precision(precision, torch_device),
            row_thresholds(checkpoint.names, confidence),
            resize,
            max_detections,
        )

    @classmethod
    def from_pretrained(
        cls,
        id_or_path: str | os.PathLike[str],
        model_type: str | None = None,
        labels: Sequence[str] | Literal["coco"] | None = None,
        device: str = "auto",
        precision: str = "auto",
        confidence: Confidence = 0.5,
        resize: Literal["plain", "antialias"] = "plain",
        max_detections: int = 100,
    ) -> "AutoModel":
        """Load a model id (downloaded once, verified, cached) or a training checkpoint.

        ``model_type``: the variant, where the checkpoint does not name it; ``labels``: a list,
        ``"coco"``, or None for the checkpoint's own names, else COCO's; ``device`` auto, cpu, cuda
        or cuda:N; ``precision`` auto, fp16, bf16 or fp32; ``confidence``: kept is score > it, a
        number or a map by label. Raises ``CheckpointError``, ``WeightsError``, ``ValueError``,
        ``DeviceRefusedError``, ``DeviceNotReadyError``.
        """
        if precision not in ("auto", "fp16", "bf16", "fp32"):
            raise ValueError(f"precision is {precision!r}, not one of auto, fp16, bf16, fp32")
        if resize not in ("plain", "antialias"):
            raise ValueError(f"resize is {resize!r}, not one of plain, antialias")
        if max_detections < 1:
            raise ValueError(f"max_detections is {max_detections}, not at least 1")
        checkpoint = open_checkpoint(id_or_path, model_type, labels)
        return cls(checkpoint, device, precision, confidence, resize, max_detections)

    @property
    def class_names(self) -> list[str]:
        """The name of every class row, as predictions show it."""
        return [shown_name(self.names, row) for row in range(len(self.names))]

    def __call__(
        self, images: Image | Sequence[Image], confidence: Confidence | None = None
    ) -> list[Predictions]:
        """Predict on one picture or several, each uint8 BGR [H, W, 3]: a list, one per picture."""
        if images is None:
            raise TypeError("there is no image: cv2.imread gives None where it cannot read a file")
        pictures = [images] if isinstance(images, np.ndarray) and images.ndim != 4 else images
        threshold = None if confidence is None else row_thresholds(self.names, confidence)
        found = [self.detect(picture, threshold)[0] for picture in pictures]
        return [Predictions(detections, self.names, self._engine.device) for detections in found]

    def detect(
        self, image: Any, threshold: npt.NDArray[np.float32] | None = None
    ) -> tuple[Detections, StageTimes]:
        """The raw detections of one picture, masks as logits, and where the time went."""
        if not isinstance(image, np.ndarray):
            raise TypeError(f"an image must be a numpy array, not {type(image).__name__}")
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise ValueError(
                f"an image must be uint8 BGR [H, W, 3], not {image.dtype} {list(image.shape)}"
            )
        return self._engine.infer(np.require(image, requirements=["C", "W"]), threshold)
