"""CSWin, small."""

from dataclasses import replace

from minivision.models.cswin import CSWinConfig

from . import Miniature


def smaller(config: CSWinConfig) -> CSWinConfig:
    """Two narrow stages: crosses of stripes of two on a map of 4 x 4, and one window."""
    sizes = {"embed_dim": 8, "depths": (2, 1), "num_heads": (2, 4), "split_sizes": (2, 2), "img_size": 4 * config.patch_size}
    return replace(config, **sizes, num_classes=5, drop_path_rate=0.0)


MINIATURES = {CSWinConfig: Miniature(smaller, kinks=False)}
