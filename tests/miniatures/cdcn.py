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
    """Depth from 0 to 1/2, as a face, a photograph and a slope have it."""
    ramp = np.linspace(0.0, 0.5, y.shape[-1])
    hill = np.minimum(ramp, ramp[::-1])
    wanted = np.stack([np.add.outer(hill, hill), np.zeros(y.shape[1:]), np.add.outer(ramp, 0.0 * ramp)])
    return depth_loss(y, wanted.astype(y.dtype))


def smaller_classifier(config: CDCClassifierConfig) -> CDCClassifierConfig:
    """Few channels."""
    return replace(config, widths=(8, 12), num_classes=5)


MINIATURES = {CDCNConfig: Miniature(smaller, relief, lr=1e-2), CDCClassifierConfig: Miniature(smaller_classifier, lr=1e-2)}
