"""MobileNetV3, small."""

from dataclasses import replace

from minivision.models.mobilenetv3 import MobileNetV3Config, Row

from . import Miniature


def smaller(config: MobileNetV3Config) -> MobileNetV3Config:
    """A block that does not expand, one with a stride, one with a shortcut; with squeeze and excitation and without."""
    rows = (Row(3, 8, 8, False, "relu", 1), Row(5, 16, 8, True, "relu", 2), Row(3, 24, 8, True, "hardswish", 1))
    return replace(config, rows=rows, last=16, stem=8, stem_stride=2, img_size=12, num_classes=5, drop_rate=0.0)


MINIATURES = {MobileNetV3Config: Miniature(smaller, lr=1e-2)}
