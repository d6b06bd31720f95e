"""CSRA, small."""

from dataclasses import replace

import numpy as np

from minivision import functional as F
from minivision.models.csra import CSRAResNetConfig, CSRAViTConfig

from . import Miniature

LABELS = np.array([[1, 0, 1, 0, 0], [0, 1, 0, 0, 1], [0, 0, 1, 1, 0]], np.float64)


def smaller(config: CSRAResNetConfig) -> CSRAResNetConfig:
    """Two heads of unlike temperature on a narrow ResNet."""
    stages, side = len(config.widths), 48 if config.stem == "imagenet" else 8
    widths = (8, 8, 12, 12)[:stages]
    return replace(config, depths=(1,) * stages, widths=widths, img_size=side, num_classes=5, csra_heads=2)


def smaller_vit(config: CSRAViTConfig) -> CSRAViTConfig:
    """Two narrow blocks on nine patches."""
    side = 3 * config.patch_size
    return replace(config, embed_dim=6 * config.num_heads, depth=2, img_size=side, num_classes=5, csra_heads=2)


def several_labels(y):
    """The loss of three samples with two labels each."""
    return F.binary_cross_entropy_with_logits(y, LABELS.astype(y.dtype))


MINIATURES = {
    CSRAResNetConfig: Miniature(smaller, several_labels, lr=1e-2),
    CSRAViTConfig: Miniature(smaller_vit, several_labels, lr=1e-2),
}
