"""ResNet, small."""

from dataclasses import replace

from minivision.models.resnet import ResNetConfig

from . import Miniature


def smaller(config: ResNetConfig) -> ResNetConfig:
    """Two blocks where the shape stays, one where it changes; narrow stages on small images."""
    stages, side = len(config.widths), 32 if config.stem == "imagenet" else 8
    return replace(config, depths=(2, 1, 1, 1)[:stages], widths=(16, 16, 24, 24)[:stages], img_size=side, num_classes=5)


MINIATURES = {ResNetConfig: Miniature(smaller)}
