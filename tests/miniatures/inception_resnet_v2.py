"""Inception-ResNet-v2, small."""

from dataclasses import replace

from minivision.models.inception_resnet_v2 import InceptionResNetV2Config

from . import Miniature


def smaller(config: InceptionResNetV2Config) -> InceptionResNetV2Config:
    """One module of each kind, few maps, and images whose last map is 3x3 behind the small stem."""
    return replace(config, depths=(1, 1, 1), narrow=32, stem="small", img_size=15, num_classes=5, drop_rate=0.0)


MINIATURES = {InceptionResNetV2Config: Miniature(smaller)}
