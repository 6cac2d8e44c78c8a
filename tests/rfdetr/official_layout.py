"""State dicts with the names and shapes of the official package, filled with seeded numbers.

Written from listings of the official package's own state dicts and not from `edge.rfdetr`, so that
the two check each other. Every number is exact arithmetic on a bit generator's raw output: the same
weights on every machine, with every version of numpy and torch.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Official:
    """A published variant, and two numbers that make its seeded weights good to compare with.

    With ``ranking_seed`` for the weights that rank the cells of ``picture()``, no two of the best
    are so close that rounding could swap them, and with them the query slots. ``class_bias`` puts
    20 (query, class) pairs above a score of 0.5. Both: `parity/run.sh golden --search 1000`.
    """

    class_name: str
    resolution: int
    windows: int
    decoder_layers: int
    queries: int
    ranking_seed: int
    class_bias: float


OFFICIAL = {
    "rfdetr-seg-preview": Official("RFDETRSegPreview", 432, 2, 4, 200, 687, -5.563),
    "rfdetr-seg-nano": Official("RFDETRSegNano", 312, 1, 4, 100, 546, -5.323),
    "rfdetr-seg-small": Official("RFDETRSegSmall", 384, 2, 4, 100, 126, -5.066),
    "rfdetr-seg-medium": Official("RFDETRSegMedium", 432, 2, 5, 200, 687, -5.514),
    "rfdetr-seg-large": Official("RFDETRSegLarge", 504, 2, 5, 200, 462, -6.277),
    "rfdetr-seg-xlarge": Official("RFDETRSegXLarge", 624, 2, 6, 300, 919, -5.329),
    "rfdetr-seg-2xlarge": Official("RFDETRSeg2XLarge", 768, 2, 6, 300, 101, -4.689),
}
GROUPS = 13  # of queries, in training; inference reads the first

# Name → (model id, resolution, ranking seed): every variant as published, position tables resized
# down and up, and with 624 a grid whose border cells are no valid proposals.
GOLDEN_CASES = {
    **{
        id_: (id_, official.resolution, official.ranking_seed) for id_, official in OFFICIAL.items()
    },
    "rfdetr-seg-nano-at-240": ("rfdetr-seg-nano", 240, 912),
    "rfdetr-seg-nano-at-624": ("rfdetr-seg-nano", 624, 655),
}
RANKING = "transformer.enc_out_class_embed.0"


def official_shapes(
    model_id: str, rows: int = 91, query_rows: int | None = None, grid: int | None = None
) -> dict[str, Shape]:
    """Name → shape of every parameter; ``grid`` is the side of the position table."""
    official = OFFICIAL[model_id]
    grid = grid or official.resolution // 12
    query_rows = query_rows or official.queries * GROUPS
    shapes: dict[str, Shape] = {}

    def add(prefix: str, **parts: Shape) -> None:
        for part, shape in parts.items():
            shapes[f"{prefix}.{part}"] = shape

    def linear(prefix: str, outputs: int, inputs: int) -> None:
        add(prefix, weight=(outputs, inputs), bias=(outputs,))

    def norm(prefix: str, channels: int) -> None:
        add(prefix, weight=(channels,), bias=(channels,))

    def mlp(prefix: str, outputs: int) -> None:
        for i, width in enumerate((256, 256, outputs)):
            linear(f"{prefix}.layers.{i}", width, 256)

    for i in range(official.decoder_layers):
        layer = f"transformer.decoder.layers.{i}"
        add(f"{layer}.self_attn", in_proj_weight=(768, 256), in_proj_bias=(768,))
        linear(f"{layer}.self_attn.out_proj", 256, 256)
        linear(f"{layer}.cross_attn.sampling_offsets", 64, 256)
        linear(f"{layer}.cross_attn.attention_weights", 32, 256)
        linear(f"{layer}.cross_attn.value_proj", 256, 256)
        linear(f"{layer}.cross_attn.output_proj", 256, 256)
        linear(f"{layer}.linear1", 2048, 256)
        linear(f"{layer}.linear2", 256, 2048)
        for name in ("norm1", "norm2", "norm3"):
            norm(f"{layer}.{name}", 256)
    norm("transformer.decoder.norm", 256)
    linear("transformer.decoder.ref_point_head.layers.0", 256, 512)
    linear("transformer.decoder.ref_point_head.layers.1", 256, 256)
    for i in range(GROUPS):
        linear(f"transformer.enc_output.{i}", 256, 256)
        norm(f"transformer.enc_output_norm.{i}", 256)
        mlp(f"transformer.enc_out_bbox_embed.{i}", 4)
        linear(f"transformer.enc_out_class_embed.{i}", rows, 256)
    linear("class_embed", rows, 256)
    mlp("bbox_embed", 4)

    shapes["segmentation_head.bias"] = (1,)
    for i in range(official.decoder_layers):
        block = f"segmentation_head.blocks.{i}"
        add(f"{block}.dwconv", weight=(256, 1, 3, 3), bias=(256,))
        norm(f"{block}.norm", 256)
        linear(f"{block}.pwconv1", 256, 256)
    add("segmentation_head.spatial_features_proj", weight=(256, 256, 1, 1), bias=(256,))
    norm("segmentation_head.query_features_block.norm_in", 256)
    linear("segmentation_head.query_features_block.layers.0", 1024, 256)
    linear("segmentation_head.query_features_block.layers.2", 256, 1024)
    linear("segmentation_head.query_features_proj", 256, 256)
    add("refpoint_embed", weight=(query_rows, 4))
    add("query_feat", weight=(query_rows, 256))

    encoder = "backbone.0.encoder.encoder"
    add(f"{encoder}.embeddings", cls_token=(1, 1, 384), mask_token=(1, 384))
    add(f"{encoder}.embeddings", position_embeddings=(1, 1 + grid * grid, 384))
    patches = f"{encoder}.embeddings.patch_embeddings.projection"
    add(patches, weight=(384, 3, 12, 12), bias=(384,))
    for i in range(12):
        block = f"{encoder}.encoder.layer.{i}"
        for name in ("query", "key", "value"):
            linear(f"{block}.attention.attention.{name}", 384, 384)
        linear(f"{block}.attention.output.dense", 384, 384)
        linear(f"{block}.mlp.fc1", 1536, 384)
        linear(f"{block}.mlp.fc2", 384, 1536)
        for j in (1, 2):
            norm(f"{block}.norm{j}", 384)
            add(f"{block}.layer_scale{j}", lambda1=(384,))
    norm(f"{encoder}.layernorm", 384)

    stage = "backbone.0.projector.stages.0"
    for name, shape in {
        "cv1": (256, 1536, 1, 1),
        "cv2": (256, 640, 1, 1),
        **{f"m.{i}.cv{j}": (128, 128, 3, 3) for i in range(3) for j in (1, 2)},
    }.items():
        add(f"{stage}.0.{name}.conv", weight=shape)
        norm(f"{stage}.0.{name}.bn", shape[0])
    norm(f"{stage}.1", 256)
    return shapes


def official_tensors(
    model_id: str,
    *,
    rows: int = 91,
    query_rows: int | None = None,
    grid: int | None = None,
    ranking_seed: int | None = None,
) -> dict[str, Tensor]:
    """A float32 state dict, without the buffer that only newer official versions write."""
    official = OFFICIAL[model_id]
    ranking_seed = official.ranking_seed if ranking_seed is None else ranking_seed
    return {
        key: seeded_tensor(
            key, shape, ranking_seed if key.startswith(RANKING) else 0, official.class_bias
        )
        for key, shape in official_shapes(model_id, rows, query_rows, grid).items()
    }


def seeded_tensor(key: str, shape: Shape, seed: int, class_bias: float = 0.0) -> Tensor:
    mean, deviation = _distribution(key, shape, class_bias)
    numbers = _numbers(f"{seed}:{key}", math.prod(shape), read=not _is_dead(key))
    numbers *= np.float32(deviation)
    numbers += np.float32(mean)
    return torch.from_numpy(numbers).reshape(shape)


def outline(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names and shapes of what inference reads, over one number in common: quick to write."""
    number = torch.full((1,), 0.01)
    return {k: number.expand(tensor.shape) for k, tensor in tensors.items() if not _is_dead(k)}


def picture(height: int = 1080, width: int = 1920) -> npt.NDArray[np.uint8]:
    """A seeded RGB picture ``[height, width, 3]``: flat rectangles over a gradient, with noise."""
    raw = np.random.PCG64(0)
    down = np.arange(height, dtype=np.int64)[:, None, None] * 255 // height
    across = np.arange(width, dtype=np.int64)[None, :, None] * 255 // width
    image = (down * np.array([1, 2, 0]) + across * np.array([1, 0, 2])) // 2
    for _ in range(40):
        top, left, tall, wide, *color = raw.random_raw(7).astype(np.int64) & 0xFFFF
        y, x = top * height >> 16, left * width >> 16
        y_end, x_end = y + 20 + (tall * height >> 18), x + 20 + (wide * width >> 18)
        image[y:y_end, x:x_end] = np.array(color) >> 8
    noise = raw.random_raw(height * width * 3 // 8 + 1).view(np.uint8)[: height * width * 3]
    image += noise.reshape(height, width, 3).astype(np.int64) // 16 - 8
    return image.clip(0, 255).astype(np.uint8)


def network_input(image: npt.NDArray[np.uint8], resolution: int) -> Tensor:
    """RGB ``[H, W, 3]`` → float32 ``[1, 3, R, R]`` as the official ``predict`` makes it."""
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    x = torch.nn.functional.interpolate(
        x, size=(resolution, resolution), mode="bilinear", align_corners=False
    )
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    return (x - mean) / deviation


def _is_dead(key: str) -> bool:
    """Only training reads the mask token and the query groups after the first."""
    parts = key.split(".")
    return key.endswith("mask_token") or (parts[1].startswith("enc_out") and parts[2] != "0")


def _numbers(name: str, count: int, read: bool) -> npt.NDArray[np.float32]:
    """Uniform numbers of mean 0 and deviation 1, seeded by ``name``; a short pattern if unread."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    drawn = count if read else min(count, 64)
    raw = np.random.PCG64(seed).random_raw(drawn // 4 + 1)
    numbers = raw.astype("<u8", copy=False).view("<u2")[:drawn].astype(np.float32)
    numbers = (numbers - np.float32(32767.5)) * np.float32(math.sqrt(3) / 32768)
    return numbers if read else np.resize(numbers, count)


def _distribution(key: str, shape: Shape, class_bias: float) -> tuple[float, float]:
    """(mean, deviation): near what training starts from, and noise wherever it starts constant."""
    fan_in = math.prod(shape[1:]) if len(shape) > 1 else 1
    if key == "class_embed.bias":
        return class_bias, 0.05
    if key == "segmentation_head.bias":
        return -0.5, 0.0
    if "lambda1" in key:
        return 0.3, 0.05
    if key.endswith(("position_embeddings", "cls_token", "mask_token")):
        return 0.0, 0.2
    if "norm" in key or ".bn." in key or key.startswith("backbone.0.projector.stages.0.1."):
        return (1.0 if key.endswith("weight") else 0.0), 0.05
    if key == "refpoint_embed.weight":
        return 0.0, 0.6
    if key == "query_feat.weight":
        return 0.0, 1.0
    if key.endswith("sampling_offsets.bias"):
        return 0.0, 1.0
    if key.endswith(("sampling_offsets.weight", "attention_weights.weight")):
        return 0.0, 0.05
    if "bbox_embed" in key and ".layers.2." in key:
        return 0.0, 0.05 if key.endswith("weight") else 0.02
    if key.endswith("class_embed.weight") or "enc_out_class_embed" in key:
        return 0.0, 0.12
    if key.endswith("bias"):
        return 0.0, 0.05
    scale = 0.7 if ".encoder.layer." in key else 0.58 if "segmentation" in key else 1.0
    return 0.0, scale / math.sqrt(fan_in)
