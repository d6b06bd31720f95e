"""XLNet, small."""

from dataclasses import replace

from minivision import functional as F
from minivision.models.xlnet import XLNetConfig

from . import Miniature


def smaller(config: XLNetConfig) -> XLNetConfig:
    """Two narrow layers, seven tokens of six."""
    return replace(config, d_model=4 * config.n_head, n_layer=2, d_inner=8 * config.n_head, seq_len=7, vocab_size=6)


MINIATURES = {XLNetConfig: Miniature(smaller, loss=lambda y: F.cross_entropy(y[:, -1], [0, 1, 2]), kinks=False)}
