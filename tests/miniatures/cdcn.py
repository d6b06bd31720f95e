"""CDCN and the classifier, small."""

from dataclasses import replace

import numpy as np

from minivision.models.cdcn import CDCClassifierConfig, CDCNConfig, depth_loss

from . import Miniature


def smaller(config: CDCNConfig) -> CDCNConfig:
    """Three levels of two layers, a small map."""
    head = (6, 4)[: len(config.head)]
    return replace(config, stem=6, blocks=((8, 6), (6, 8), (8, 6)), head=head, img_size=16, map_size=4)


def relief(y):
    """Depth as three faces would have it: a pyramid, flat, a slope."""
    ramp = np.arange(y.shape[-1], dtype=y.dtype)
    hill = np.minimum(ramp, ramp[::-1])
    wanted = np.stack([np.add.outer(hill, hill), np.zeros(y.shape[1:], y.dtype), np.add.outer(ramp, 0 * ramp)])
    return depth_loss(y, wanted.astype(y.dtype))


def smaller_classifier(config: CDCClassifierConfig) -> CDCClassifierConfig:
    """Few channels."""
    return replace(config, widths=(8, 12), num_classes=5)


MINIATURES = {CDCNConfig: Miniature(smaller, relief, lr=3e-2), CDCClassifierConfig: Miniature(smaller_classifier, lr=1e-2)}
