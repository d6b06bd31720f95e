"""Music Transformer, small."""

from dataclasses import replace

from minivision import functional as F
from minivision.models.music_transformer import MusicTransformerConfig

from . import Miniature


def smaller(config: MusicTransformerConfig) -> MusicTransformerConfig:
    """Two narrow layers, seven events of six, farther apart than there are vectors."""
    D = 8 * config.num_heads
    return replace(
        config, hidden_size=D, num_hidden_layers=2, filter_size=16, max_relative_position=5, n_positions=7, vocab_size=6
    )


MINIATURES = {MusicTransformerConfig: Miniature(smaller, loss=lambda y: F.cross_entropy(y[:, -1], [0, 1, 2]))}
