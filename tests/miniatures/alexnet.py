"""AlexNet, small."""

from dataclasses import replace

from minivision.models.alexnet import AlexNetConfig

from . import Miniature


def smaller(config: AlexNetConfig) -> AlexNetConfig:
    """Few channels, a small classifier; as many pixels as the first kernel asks for."""
    convolutions = tuple((channels // 8, *rest) for channels, *rest in config.convolutions)
    side = 63 if config.img_size > 32 else config.img_size
    return replace(config, convolutions=convolutions, grid=2, hidden=24, drop_rate=0.0, img_size=side, num_classes=5)


MINIATURES = {AlexNetConfig: Miniature(smaller, lr=1e-2, steps=24)}
