"""DenseNet, small."""

from dataclasses import replace

from minivision.models.densenet import DenseNetConfig

from . import Miniature


def smaller(config: DenseNetConfig) -> DenseNetConfig:
    """Two blocks, of two layers and one, on small images."""
    side = 16 if config.stem == "imagenet" else 8
    return replace(config, depths=(2, 1), growth_rate=8, stem_width=12, bn_size=2, img_size=side, num_classes=5, drop_rate=0.0)


MINIATURES = {DenseNetConfig: Miniature(smaller, lr=1e-2)}
