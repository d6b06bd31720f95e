"""Inception-v4, small."""

from dataclasses import replace

from minivision.models.inception_v4 import InceptionV4Config

from . import Miniature


def smaller(config: InceptionV4Config) -> InceptionV4Config:
    """One module of each kind, few maps, and images whose last map is 3x3 behind the small stem."""
    return replace(config, depths=(1, 1, 1), narrow=32, stem="small", img_size=15, num_classes=5, drop_rate=0.0)


MINIATURES = {InceptionV4Config: Miniature(smaller)}
