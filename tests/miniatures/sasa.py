"""Stand-alone self-attention, small."""

from dataclasses import replace

from minivision.models.sasa import SASAConfig

from . import Miniature


def smaller(config: SASAConfig) -> SASAConfig:
    """A block that keeps the shape and one that changes it; narrow stages on small images."""
    side = 8 if config.stem == "cifar" else 24
    return replace(config, depths=(2, 1), widths=(8, 16), window=3, heads=2, img_size=side, num_classes=5)


MINIATURES = {SASAConfig: Miniature(smaller)}
