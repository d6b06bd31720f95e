"""PoolFormer and other MetaFormers, small."""

from dataclasses import replace

from minivision.models.metaformer import MetaFormerConfig

from . import Miniature


def smaller(config: MetaFormerConfig) -> MetaFormerConfig:
    """The last two stages, narrow, on the smallest images whose last map has four places."""
    return replace(
        config, depths=(2, 1), dims=(8, 16), token_mixers=config.mixers[-2:], layer_scale_init=0.1, head_dim=8,
        img_size=4 * config.stem[1], num_classes=5,
    )  # fmt: skip


MINIATURES = {MetaFormerConfig: Miniature(smaller, kinks=False, idle=("norm1.bias",))}
