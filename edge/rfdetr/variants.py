"""The published RF-DETR-Seg variants, one row each, and the tiny one for demo and tests."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Variant:
    """What tells one RF-DETR-Seg network from another; defaults are what all published ones share.

    ``resolution`` is the side of the square input in pixels, ``windows`` the number of attention
    windows per side, ``taps`` the numbers of encoder blocks after which the features are read. The
    blocks numbered by ``taps`` (from 0) attend over the whole picture, the others in their window.
    """

    name: str
    official_name: str  # the class that the official trainer writes as ``model_name``
    resolution: int
    windows: int
    decoder_layers: int  # as many segmentation blocks
    queries: int
    patch: int = 12
    width: int = 384
    blocks: int = 12
    heads: int = 6
    taps: tuple[int, ...] = (3, 6, 9, 12)
    hidden: int = 256
    self_attention_heads: int = 8
    deformable_heads: int = 16
    points: int = 2
    feed_forward: int = 2048
    mask_stride: int = 4

    @property
    def resolution_step(self) -> int:
        """An input side must be a multiple of this many pixels."""
        return self.patch * self.windows


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("rfdetr-seg-preview", "RFDETRSegPreview", 432, 2, 4, 200),
        Variant("rfdetr-seg-nano", "RFDETRSegNano", 312, 1, 4, 100),
        Variant("rfdetr-seg-small", "RFDETRSegSmall", 384, 2, 4, 100),
        Variant("rfdetr-seg-medium", "RFDETRSegMedium", 432, 2, 5, 200),
        Variant("rfdetr-seg-large", "RFDETRSegLarge", 504, 2, 5, 200),
        Variant("rfdetr-seg-xlarge", "RFDETRSegXLarge", 624, 2, 6, 300),
        Variant("rfdetr-seg-2xlarge", "RFDETRSeg2XLarge", 768, 2, 6, 300),
        Variant(
            "rfdetr-seg-demo",
            "RFDETRSegDemo",
            216,
            2,
            2,
            30,
            width=128,
            blocks=5,
            heads=4,
            taps=(1, 3, 5),
            hidden=128,
            self_attention_heads=4,
            deformable_heads=8,
            feed_forward=256,
        ),
    )
}
