"""MAE, small."""

from dataclasses import replace

from minivision.models.mae import MAEConfig

from . import Miniature


def smaller(config: MAEConfig) -> MAEConfig:
    """Narrow blocks on nine patches, with one mask for all passes."""
    widths = {"embed_dim": 4 * config.num_heads, "decoder_embed_dim": 4 * config.decoder_num_heads}
    return replace(config, depth=2, decoder_depth=1, img_size=3 * config.patch_size, mask_seed=0, **widths)


MINIATURES = {MAEConfig: Miniature(smaller, loss=lambda found: found.loss, lr=1e-2, steps=20, kinks=False)}
