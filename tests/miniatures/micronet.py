"""MicroNet, small."""

from dataclasses import replace

from minivision.models.micronet import MicroNetConfig, Row

from . import Miniature

ROWS = (
    Row(2, 8, 3, (2, 2), (0, 4), (2, 2), 1),
    Row(1, 8, 3, (1, 4), (2, 2), (2, 2), 1),
    Row(1, 32, 3, (1, 4), (4, 4), (0, 0), 1),
)


def smaller(config: MicroNetConfig) -> MicroNetConfig:
    """A block of each kind, one of them with a shortcut; few channels on small images."""
    return replace(
        config, rows=ROWS, stem=(2, 2), width=16, drop_rate=0.0, img_size=16 // (3 - config.stem_stride), num_classes=5
    )


MINIATURES = {MicroNetConfig: Miniature(smaller)}
