"""Swin, small."""

from dataclasses import replace

from minivision.models.swin import SwinConfig

from . import Miniature


def smaller(config: SwinConfig) -> SwinConfig:
    """Two narrow stages of a plain and a shifted block: 2 x 2 windows of 2 x 2 patches, and one window."""
    sizes = {"embed_dim": 8, "depths": (2, 2), "num_heads": (2, 4), "window_size": 2, "img_size": 4 * config.patch_size}
    return replace(config, **sizes, num_classes=5, drop_path_rate=0.0)


MINIATURES = {SwinConfig: Miniature(smaller, kinks=False)}
