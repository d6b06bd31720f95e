"""SE-ResNet, small."""

from dataclasses import replace

from minivision.models.senet import LegacySEConfig, SEConfig

from . import Miniature


def smaller(config: SEConfig) -> SEConfig:
    """Two blocks where the shape stays, one where it changes; narrow stages, and gates with a middle of several channels."""
    stages, side = len(config.widths), 32 if config.stem == "imagenet" else 8
    sizes = {"depths": (2, 1, 1, 1)[:stages], "widths": (16, 16, 24, 24)[:stages], "reduction": 4}
    return replace(config, **sizes, img_size=side, num_classes=5)


MINIATURES = {SEConfig: Miniature(smaller), LegacySEConfig: Miniature(smaller)}
