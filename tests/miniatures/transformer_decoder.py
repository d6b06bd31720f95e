"""The Transformer-Decoder, small."""

from dataclasses import replace

from minivision import functional as F
from minivision.models.transformer_decoder import TransformerDecoderConfig

from . import Miniature


def smaller(config: TransformerDecoderConfig) -> TransformerDecoderConfig:
    """The first two narrow layers, eight tokens of six in blocks of three and groups of two."""
    narrow = replace(config, layers=config.layers[:2], d_model=4 * config.nhead, dim_feedforward=24)
    return replace(narrow, block=3, compression=2, length=8, vocab_size=6)


MINIATURES = {TransformerDecoderConfig: Miniature(smaller, loss=lambda y: F.cross_entropy(y[:, -1], [0, 1, 2]))}
