"""VGG, small."""

from dataclasses import replace

from minivision.models.vgg import VGGConfig

from . import Miniature


def smaller(config: VGGConfig) -> VGGConfig:
    """Narrow stages on as few pixels as their poolings ask for."""
    stages = len(config.depths)
    widths, depths = (6, 8, 10, 12, 12)[:stages], (1, 2, 1, 2, 1)[:stages]
    return replace(
        config, depths=depths, widths=widths, grid=1, hidden=12, drop_rate=0.0, img_size=2**stages, in_chans=3, num_classes=5
    )


MINIATURES = {VGGConfig: Miniature(smaller, lr=1e-2, steps=24)}
