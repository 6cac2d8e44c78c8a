"""The tensors of an official RF-DETR-Seg checkpoint: names, shapes, and which are needed."""

import re

from torch import Tensor

from edge.rfdetr.variants import Variant

Shape = tuple[int, ...]

ENCODER = "backbone.0.encoder.encoder."
PROJECTOR = "backbone.0.projector.stages.0."
DECODER = "transformer.decoder."

# Only read in training: query groups after the first, the mask token, the keypoint head's buffer.
_UNUSED = re.compile(
    r"transformer\.enc_(output|output_norm|out_class_embed|out_bbox_embed)\.[1-9]\d*\."
    r"|backbone\.0\.encoder\.encoder\.embeddings\.mask_token$"
    r"|_kp_active_mask$"
)


def is_unused(name: str) -> bool:
    """True for an official tensor that inference never reads."""
    return _UNUSED.match(name) is not None


def expected_shapes(
    variant: Variant, rows: int, positions: int, query_rows: int
) -> dict[str, Shape]:
    """Name → shape of every tensor that inference needs.

    ``rows`` class rows, ``positions`` entries of the position table (class token included) and
    ``query_rows`` rows of the learned queries are the file's own and may differ between files.
    """
    v, c, h = variant, variant.width, variant.hidden
    samples = v.deformable_heads * v.points
    shapes: dict[str, Shape] = {}

    def linear(name: str, inputs: int, outputs: int) -> None:
        shapes[f"{name}.weight"] = (outputs, inputs)
        shapes[f"{name}.bias"] = (outputs,)

    def norm(name: str, channels: int) -> None:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (channels,)

    def unit(name: str, inputs: int, outputs: int, kernel: int) -> None:
        shapes[f"{name}.conv.weight"] = (outputs, inputs, kernel, kernel)
        norm(f"{name}.bn", outputs)

    shapes[f"{ENCODER}embeddings.cls_token"] = (1, 1, c)
    shapes[f"{ENCODER}embeddings.position_embeddings"] = (1, positions, c)
    shapes[f"{ENCODER}embeddings.patch_embeddings.projection.weight"] = (c, 3, v.patch, v.patch)
    shapes[f"{ENCODER}embeddings.patch_embeddings.projection.bias"] = (c,)
    for i in range(v.blocks):
        block = f"{ENCODER}encoder.layer.{i}."
        norm(f"{block}norm1", c)
        for part in ("query", "key", "value"):
            linear(f"{block}attention.attention.{part}", c, c)
        linear(f"{block}attention.output.dense", c, c)
        shapes[f"{block}layer_scale1.lambda1"] = (c,)
        norm(f"{block}norm2", c)
        linear(f"{block}mlp.fc1", c, 4 * c)
        linear(f"{block}mlp.fc2", 4 * c, c)
        shapes[f"{block}layer_scale2.lambda1"] = (c,)
    norm(f"{ENCODER}layernorm", c)

    unit(f"{PROJECTOR}0.cv1", len(v.taps) * c, h, 1)
    for i in range(3):
        for part in ("cv1", "cv2"):
            unit(f"{PROJECTOR}0.m.{i}.{part}", h // 2, h // 2, 3)
    unit(f"{PROJECTOR}0.cv2", 5 * (h // 2), h, 1)
    norm(f"{PROJECTOR}1", h)

    linear("transformer.enc_output.0", h, h)
    norm("transformer.enc_output_norm.0", h)
    linear("transformer.enc_out_class_embed.0", h, rows)
    for i, outputs in enumerate((h, h, 4)):
        linear(f"transformer.enc_out_bbox_embed.0.layers.{i}", h, outputs)
        linear(f"bbox_embed.layers.{i}", h, outputs)
    linear("class_embed", h, rows)
    shapes["refpoint_embed.weight"] = (query_rows, 4)
    shapes["query_feat.weight"] = (query_rows, h)

    linear(f"{DECODER}ref_point_head.layers.0", 2 * h, h)
    linear(f"{DECODER}ref_point_head.layers.1", h, h)
    norm(f"{DECODER}norm", h)
    for i in range(v.decoder_layers):
        layer = f"{DECODER}layers.{i}."
        shapes[f"{layer}self_attn.in_proj_weight"] = (3 * h, h)
        shapes[f"{layer}self_attn.in_proj_bias"] = (3 * h,)
        linear(f"{layer}self_attn.out_proj", h, h)
        linear(f"{layer}cross_attn.sampling_offsets", h, 2 * samples)
        linear(f"{layer}cross_attn.attention_weights", h, samples)
        linear(f"{layer}cross_attn.value_proj", h, h)
        linear(f"{layer}cross_attn.output_proj", h, h)
        linear(f"{layer}linear1", h, v.feed_forward)
        linear(f"{layer}linear2", v.feed_forward, h)
        for part in ("norm1", "norm2", "norm3"):
            norm(f"{layer}{part}", h)

        block = f"segmentation_head.blocks.{i}."
        shapes[f"{block}dwconv.weight"] = (h, 1, 3, 3)
        shapes[f"{block}dwconv.bias"] = (h,)
        norm(f"{block}norm", h)
        linear(f"{block}pwconv1", h, h)
    shapes["segmentation_head.bias"] = (1,)
    shapes["segmentation_head.spatial_features_proj.weight"] = (h, h, 1, 1)
    shapes["segmentation_head.spatial_features_proj.bias"] = (h,)
    norm("segmentation_head.query_features_block.norm_in", h)
    linear("segmentation_head.query_features_block.layers.0", h, 4 * h)
    linear("segmentation_head.query_features_block.layers.2", 4 * h, h)
    linear("segmentation_head.query_features_proj", h, h)
    return shapes


def _side(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "a single number"


def find_fault(tensors: dict[str, Tensor], expected: dict[str, Shape]) -> str | None:
    """The first tensor that is missing, extra or mis-shaped, as half a sentence; else None."""
    for name, shape in expected.items():
        if name not in tensors:
            return f"tensor '{name}' is missing"
        found = tuple(tensors[name].shape)
        if found != shape:
            return f"tensor '{name}' has shape {_side(found)} instead of {_side(shape)}"
        if not tensors[name].is_floating_point():
            return f"tensor '{name}' holds {tensors[name].dtype} instead of floating-point numbers"
    for name in tensors:
        if name not in expected and not is_unused(name):
            return f"tensor '{name}' does not belong to this network"
    return None
