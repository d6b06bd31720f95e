"""MLP-Mixer, small."""

from dataclasses import replace

from minivision.models.mlp_mixer import MixerConfig

from . import Miniature


def smaller(config: MixerConfig) -> MixerConfig:
    """Two narrow blocks on nine patches."""
    return replace(config, embed_dim=24, depth=2, img_size=3 * config.patch_size, num_classes=5)


MINIATURES = {MixerConfig: Miniature(smaller, kinks=False, idle=("mlp_tokens.fc2.bias",))}
