"""Axial attention, small."""

from dataclasses import replace

from minivision.models.axial import AxialConfig

from . import Miniature


def smaller(config: AxialConfig) -> AxialConfig:
    """A block that keeps the map's size and one that halves it; few channels on small images."""
    side = 8 if config.stem == "cifar" else 16
    return replace(config, depths=(2, 1), scale=0.125, groups=2, img_size=side, num_classes=5)


MINIATURES = {AxialConfig: Miniature(smaller)}
