"""ViT, small."""

from dataclasses import replace

from minivision.models.vit import ViTConfig

from . import Miniature


def smaller(config: ViTConfig) -> ViTConfig:
    """Two narrow blocks on nine patches."""
    return replace(config, embed_dim=6 * config.num_heads, depth=2, img_size=3 * config.patch_size, num_classes=5)


MINIATURES = {ViTConfig: Miniature(smaller, kinks=False)}
