"""MobileNetV2, small."""

from dataclasses import replace

from minivision.models.mobilenetv2 import MobileNetV2Config

from . import Miniature


def smaller(config: MobileNetV2Config) -> MobileNetV2Config:
    """A block that does not expand, one with a stride, and one with a shortcut; narrow, on small images."""
    stages = ((1, 8, 1, 1), (2, 8, 2, 2))
    return replace(config, stages=stages, stem=8, stem_stride=2, last=16, img_size=12, num_classes=5, drop_rate=0.0)


MINIATURES = {MobileNetV2Config: Miniature(smaller, lr=3e-2)}
