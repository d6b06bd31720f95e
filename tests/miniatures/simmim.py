"""SimMIM, small."""

from dataclasses import replace

from minivision.models.simmim import SimMIMConfig

from . import Miniature


def smaller(config: SimMIMConfig) -> SimMIMConfig:
    """Two narrow stages of windows of 2 x 2 patches, cells of as many, and one mask for all passes."""
    sizes = {"embed_dim": 16, "depths": (2, 2), "num_heads": (2, 4), "window_size": 2, "img_size": 4 * config.patch_size}
    return replace(config, **sizes, mask_patch_size=2 * config.patch_size, mask_seed=0)


MINIATURES = {SimMIMConfig: Miniature(smaller, loss=lambda found: found.loss, lr=5e-3, steps=60)}  # |x - y| has a kink
