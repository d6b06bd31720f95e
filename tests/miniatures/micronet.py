"""MicroNet, small."""

from dataclasses import replace
from typing import Any

from minivision.models.micronet import MicroNetConfig, Row

from . import Miniature, cross_entropy

ROWS = (
    Row(2, 8, 3, (2, 2), (0, 4), (2, 2), 1),
    Row(1, 8, 3, (1, 4), (2, 2), (2, 2), 1),
    Row(2, 12, 3, (1, 2), (2, 2), (2, 2), 2),
    Row(1, 24, 3, (1, 2), (4, 4), (0, 0), 1),
)


def smaller(config: MicroNetConfig) -> MicroNetConfig:
    """A block of each kind, one of them with a shortcut; few channels on small images."""
    side = 8 * config.stem_stride
    return replace(config, rows=ROWS, stem=(2, 2), width=16, drop_rate=0.0, img_size=side, num_classes=5)


def loss(y: Any) -> Any:
    """Logits that leave a norm are about 1 and need a factor before they can be sure of anything."""
    return cross_entropy(4.0 * y)


MINIATURES = {MicroNetConfig: Miniature(smaller, loss, lr=1e-2)}
