"""Non-local networks, small."""

from dataclasses import replace

from minivision.models.nonlocal_net import NonLocalConfig

from . import Miniature


def smaller(config: NonLocalConfig) -> NonLocalConfig:
    """Narrow stages, one block each, a non-local block in the middle."""
    stages, side = len(config.widths), 64 if config.stem == "imagenet" else 8
    after = ((), (0,), (0,), ())[:stages] if stages == 4 else ((0,), ())
    widths = (8, 8, 12, 12)[:stages]
    return replace(config, depths=(1,) * stages, widths=widths, nonlocal_after=after, img_size=side, num_classes=5)


MINIATURES = {NonLocalConfig: Miniature(smaller)}
