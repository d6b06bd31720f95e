"""iGPT, small."""

from dataclasses import replace

from minivision import functional as F
from minivision.models.igpt import ImageGPTConfig

from . import Miniature


def smaller(config: ImageGPTConfig) -> ImageGPTConfig:
    """Two narrow blocks, seven pixels of five colours."""
    return replace(config, n_embd=4 * config.n_head, n_layer=2, n_positions=7, vocab_size=6)


MINIATURES = {ImageGPTConfig: Miniature(smaller, loss=lambda y: F.cross_entropy(y[:, -1], [0, 1, 2]), kinks=False)}
