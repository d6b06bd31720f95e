"""DeiT with its distillation token, small."""

from dataclasses import replace

from minivision.models.deit import DeiTConfig

from . import Miniature


def smaller(config: DeiTConfig) -> DeiTConfig:
    """Two narrow blocks on nine patches."""
    return replace(config, embed_dim=6 * config.num_heads, depth=2, img_size=3 * config.patch_size, num_classes=5)


MINIATURES = {DeiTConfig: Miniature(smaller, kinks=False)}
