"""Transformer-XL, small."""

from dataclasses import replace

from minivision import functional as F
from minivision.models.transformer_xl import TransformerXLConfig

from . import Miniature


def smaller(config: TransformerXLConfig) -> TransformerXLConfig:
    """Two narrow layers, seven tokens of twelve; as many stretches of them as there are."""
    cutoffs = tuple(range(2, 2 + 2 * len(config.cutoffs), 2))
    return replace(
        config, d_model=64, n_layer=2, n_head=2, d_head=4, d_inner=16, tgt_len=7, mem_len=7, vocab_size=12, cutoffs=cutoffs
    )


MINIATURES = {TransformerXLConfig: Miniature(smaller, loss=lambda y: F.nll_loss(y[:, -1], [0, 1, 2]))}
