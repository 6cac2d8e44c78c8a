"""Official checkpoint tensors → the parameters of our network, with constants folded in.

All that depends on weights and shapes alone happens here, once: position table resized and cut into
windows, query/key/value in one product, layer scale in the products before it, one value projection
for all decoder layers, the mask head's pixel projection on the side of the queries.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from edge.rfdetr.layout import DECODER, ENCODER, PROJECTOR
from edge.rfdetr.variants import Variant


def resize_positions(table: Tensor, grid: int) -> Tensor:
    """``table`` [1, 1 + n * n, C], class token first → [1 + grid * grid, C].

    Bicubic with antialiasing in float32, the class token untouched: what the official package does
    when a resolution is changed (and DINOv2 before it).
    """
    n = math.isqrt(table.shape[1] - 1)
    if n == grid:
        return table[0]
    cls, patches = table[:, :1].float(), table[:, 1:].float()
    square = patches.reshape(1, n, n, -1).permute(0, 3, 1, 2)
    square = F.interpolate(
        square, size=(grid, grid), mode="bicubic", align_corners=False, antialias=True
    )
    return torch.cat([cls, square.permute(0, 2, 3, 1).reshape(1, grid * grid, -1)], 1)[0]


def convert(tensors: dict[str, Tensor], variant: Variant, resolution: int) -> dict[str, Tensor]:
    """The state dict of ``RFDETRSeg(variant, resolution, rows)``, float32.

    ``tensors`` are official ones that ``layout.find_fault`` has nothing against.
    """
    v = variant
    source = {name: tensor.float() for name, tensor in tensors.items()}
    out: dict[str, Tensor] = {}

    def take(ours: str, official: str) -> None:
        for part in ("weight", "bias"):
            out[f"{ours}.{part}"] = source[f"{official}.{part}"]

    def take_unit(ours: str, official: str) -> None:
        out[f"{ours}.conv.weight"] = source[f"{official}.conv.weight"]
        take(f"{ours}.norm", f"{official}.bn")

    def take_scaled(ours: str, official: str, scale: Tensor) -> None:
        out[f"{ours}.weight"] = source[f"{official}.weight"] * scale[:, None]
        out[f"{ours}.bias"] = source[f"{official}.bias"] * scale

    def join(ours: str, officials: list[str]) -> None:
        for part in ("weight", "bias"):
            out[f"{ours}.{part}"] = torch.cat([source[f"{name}.{part}"] for name in officials])

    # Backbone
    grid = resolution // v.patch
    n, side = v.windows, grid // v.windows
    position = resize_positions(source[f"{ENCODER}embeddings.position_embeddings"], grid)
    out["backbone.cls"] = source[f"{ENCODER}embeddings.cls_token"] + position[0]
    out["backbone.position"] = (
        position[1:]
        .view(n, side, n, side, -1)
        .permute(0, 2, 1, 3, 4)
        .reshape(n * n, side * side, -1)
    )
    patches = f"{ENCODER}embeddings.patch_embeddings.projection"
    out["backbone.patch_embedding.weight"] = source[f"{patches}.weight"].flatten(1)
    out["backbone.patch_embedding.bias"] = source[f"{patches}.bias"]
    for i in range(v.blocks):
        ours, official = f"backbone.blocks.{i}", f"{ENCODER}encoder.layer.{i}"
        attention = f"{official}.attention"
        take(f"{ours}.norm1", f"{official}.norm1")
        join(f"{ours}.qkv", [f"{attention}.attention.{part}" for part in ("query", "key", "value")])
        scale1 = source[f"{official}.layer_scale1.lambda1"]
        take_scaled(f"{ours}.output", f"{attention}.output.dense", scale1)
        take(f"{ours}.norm2", f"{official}.norm2")
        take(f"{ours}.fc1", f"{official}.mlp.fc1")
        scale2 = source[f"{official}.layer_scale2.lambda1"]
        take_scaled(f"{ours}.fc2", f"{official}.mlp.fc2", scale2)
    take("backbone.norm", f"{ENCODER}layernorm")

    # Projector
    take_unit("projector.reduce", f"{PROJECTOR}0.cv1")
    for i in range(3):
        for j in range(2):
            take_unit(f"projector.bottlenecks.{i}.{j}", f"{PROJECTOR}0.m.{i}.cv{j + 1}")
    take_unit("projector.merge", f"{PROJECTOR}0.cv2")
    take("projector.norm", f"{PROJECTOR}1")

    # Query selection and heads: the first of the training's query groups
    take("selection.project", "transformer.enc_output.0")
    take("selection.norm", "transformer.enc_output_norm.0")
    take("selection.score", "transformer.enc_out_class_embed.0")
    for i in range(3):
        take(f"selection.box.layers.{i}", f"transformer.enc_out_bbox_embed.0.layers.{i}")
        take(f"box_head.layers.{i}", f"bbox_embed.layers.{i}")
    out["selection.refpoint"] = source["refpoint_embed.weight"][: v.queries]
    take("class_head", "class_embed")

    # Decoder
    out["decoder.query"] = source["query_feat.weight"][: v.queries]
    for i in range(2):
        take(f"decoder.reference_position.layers.{i}", f"{DECODER}ref_point_head.layers.{i}")
    layers = [f"{DECODER}layers.{i}" for i in range(v.decoder_layers)]
    join("decoder.values", [f"{layer}.cross_attn.value_proj" for layer in layers])
    for i, official in enumerate(layers):
        ours = f"decoder.layers.{i}"
        for part in ("weight", "bias"):
            in_proj = source[f"{official}.self_attn.in_proj_{part}"]
            out[f"{ours}.query_key.{part}"] = in_proj[: 2 * v.hidden]
            out[f"{ours}.value.{part}"] = in_proj[2 * v.hidden :]
        take(f"{ours}.output", f"{official}.self_attn.out_proj")
        take(f"{ours}.cross_attention.offsets", f"{official}.cross_attn.sampling_offsets")
        take(f"{ours}.cross_attention.weights", f"{official}.cross_attn.attention_weights")
        take(f"{ours}.cross_attention.output", f"{official}.cross_attn.output_proj")
        for part in ("linear1", "linear2", "norm1", "norm2", "norm3"):
            take(f"{ours}.{part}", f"{official}.{part}")
    take("decoder.norm", f"{DECODER}norm")

    # Segmentation head
    for i in range(v.decoder_layers):
        ours, official = f"segmentation.blocks.{i}", f"segmentation_head.blocks.{i}"
        take(f"{ours}.depthwise", f"{official}.dwconv")
        take(f"{ours}.norm", f"{official}.norm")
        take(f"{ours}.pointwise", f"{official}.pwconv1")
    take("segmentation.query_norm", "segmentation_head.query_features_block.norm_in")
    take("segmentation.query_fc1", "segmentation_head.query_features_block.layers.0")
    take("segmentation.query_fc2", "segmentation_head.query_features_block.layers.2")
    weight = source["segmentation_head.query_features_proj.weight"].double()
    bias = source["segmentation_head.query_features_proj.bias"].double()
    pixels = source["segmentation_head.spatial_features_proj.weight"].flatten(1).double()
    pixels_bias = source["segmentation_head.spatial_features_proj.bias"].double()
    out["segmentation.query_projection.weight"] = (pixels.T @ weight).float()
    out["segmentation.query_projection.bias"] = (pixels.T @ bias).float()
    out["segmentation.query_bias.weight"] = (pixels_bias @ weight)[None].float()
    official_bias = source["segmentation_head.bias"].double()
    out["segmentation.query_bias.bias"] = (pixels_bias @ bias + official_bias).float()
    return out
