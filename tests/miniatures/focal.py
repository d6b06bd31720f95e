"""The Focal Transformer, small."""

from dataclasses import replace

from minivision.models.focal import FocalConfig

from . import Miniature


def smaller(config: FocalConfig) -> FocalConfig:
    """Two narrow stages: 2 x 2 windows of 2 x 2 patches with a margin and pooled neighbours, and one window."""
    sizes = {"embed_dim": 8, "depths": (2, 1), "num_heads": (2, 4), "focal_windows": (3, 1), "window_size": 2, "expand_size": 1}
    return replace(config, **sizes, img_size=4 * config.patch_size, num_classes=5, drop_path_rate=0.0)


MINIATURES = {FocalConfig: Miniature(smaller, lr=1e-2, kinks=False)}
