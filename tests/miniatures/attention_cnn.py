"""Attention as convolution, small."""

from dataclasses import replace

from minivision.models.attention_cnn import AttentionCNNConfig

from . import Miniature


def smaller(config: AttentionCNNConfig) -> AttentionCNNConfig:
    """Two narrow layers on nine patches."""
    sizes = {"hidden_size": 16, "depth": 2, "num_heads": 4, "intermediate_size": 20}
    return replace(config, **sizes, img_size=3 * config.patch_size, num_classes=5, drop_rate=0.0)


MINIATURES = {AttentionCNNConfig: Miniature(smaller, lr=1e-2, kinks=False)}
