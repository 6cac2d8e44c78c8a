"""The floating-point operations that one frame needs, from the variant's own dimensions.

Counted are matrix products, convolutions and attention, a multiply-add as two. Work that the
official network does in training only (other query groups, masks of the other layers) is not, so
that the figure is what any implementation has to do, however it does it.
"""

from edge.rfdetr.variants import Variant


def useful_gflop(variant: Variant, resolution: int, rows: int) -> float:
    """GFLOP of one picture at ``resolution`` pixels a side, with ``rows`` class rows."""
    multiply_adds = (
        _backbone(variant, resolution)
        + _projector(variant, resolution)
        + _selection(variant, resolution, rows)
        + _decoder(variant, resolution, rows)
        + _masks(variant, resolution)
    )
    return 2 * multiply_adds / 1e9


def _patches(variant: Variant, resolution: int) -> int:
    return (resolution // variant.patch) ** 2


def _backbone(variant: Variant, resolution: int) -> int:
    v, patches = variant, _patches(variant, resolution)
    windows = v.windows**2
    tokens = patches + windows  # each window has its own class token
    embedding = patches * v.width * 3 * v.patch**2
    linear = v.blocks * tokens * 12 * v.width**2  # qkv 3, output 1, MLP 4 + 4
    over_all = v.blocks if windows == 1 else sum(tap < v.blocks for tap in v.taps)
    keys = over_all * tokens + (v.blocks - over_all) * (tokens // windows)
    return embedding + linear + 2 * tokens * keys * v.width


def _projector(variant: Variant, resolution: int) -> int:
    h, half = variant.hidden, variant.hidden // 2
    channels = len(variant.taps) * variant.width * h + 6 * 9 * half**2 + 5 * half * h
    return _patches(variant, resolution) * channels


def _box_head(variant: Variant) -> int:
    return variant.queries * (2 * variant.hidden**2 + 4 * variant.hidden)


def _selection(variant: Variant, resolution: int, rows: int) -> int:
    h = variant.hidden
    return _patches(variant, resolution) * (h * h + h * rows) + _box_head(variant)


def _decoder(variant: Variant, resolution: int, rows: int) -> int:
    v, h, q = variant, variant.hidden, variant.queries
    position = q * (2 * h * h + h * h)
    self_attention = q * 4 * h * h + 2 * q * q * h
    samples = v.deformable_heads * v.points
    cross_attention = q * (3 * samples + h) * h + _patches(v, resolution) * h * h
    feed_forward = 2 * q * h * v.feed_forward
    layers = v.decoder_layers * (self_attention + cross_attention + feed_forward)
    return position + layers + q * h * rows + _box_head(v)


def _masks(variant: Variant, resolution: int) -> int:
    h, q = variant.hidden, variant.queries
    cells = (resolution // variant.mask_stride) ** 2
    blocks = variant.decoder_layers * cells * (9 * h + h * h)
    projections = cells * h * h + q * (2 * 4 * h * h + h * h)
    return blocks + projections + q * cells * h
