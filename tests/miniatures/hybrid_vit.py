"""The hybrid of ResNet and ViT, small."""

from dataclasses import replace

from minivision.models.hybrid_vit import HybridConfig

from . import Miniature


def smaller(config: HybridConfig) -> HybridConfig:
    """Two stages and a narrow block on four tokens."""
    small = {"depths": (2, 1), "widths": (16, 32), "stem_width": 8, "groups": 4, "depth": 1, "num_classes": 5}
    side = 8 if config.stem == "imagenet" else 2
    return replace(config, embed_dim=6 * config.num_heads, patch_size=side, img_size=2 * side, **small)


MINIATURES = {HybridConfig: Miniature(smaller)}
