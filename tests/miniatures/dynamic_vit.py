"""DynamicViT, small."""

from dataclasses import replace

from minivision.models.dynamic_vit import DynamicViTConfig

from . import Miniature


def smaller(config: DynamicViTConfig) -> DynamicViTConfig:
    """Three narrow blocks on nine patches, of which some are dropped twice."""
    width, side = 4 * config.num_heads, 3 * config.patch_size
    return replace(config, embed_dim=width, depth=3, img_size=side, num_classes=5, pruning_loc=(1, 2))


MINIATURES = {DynamicViTConfig: Miniature(smaller, training=False)}
