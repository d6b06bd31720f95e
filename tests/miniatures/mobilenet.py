"""MobileNet, small."""

from dataclasses import replace

from minivision.models.mobilenet import MobileNetConfig

from . import Miniature


def smaller(config: MobileNetConfig) -> MobileNetConfig:
    """A layer that keeps the shape and one that changes it; narrow, on small images."""
    return replace(config, stages=((12, 1, 1), (16, 2, 2)), stem=8, stem_stride=2, img_size=12, num_classes=5, drop_rate=0.0)


MINIATURES = {MobileNetConfig: Miniature(smaller, lr=1e-2)}
