"""SelecSLS, small."""

from dataclasses import replace

from minivision.models.selecsls import SelecSLSConfig

from . import Miniature


def smaller(config: SelecSLSConfig) -> SelecSLSConfig:
    """A stage of three blocks, so that the long skip and the block before differ, and one of one; narrow, on small images."""
    whole = config.stem_stride == 1
    stages, side = ((12, (12, 12, 16)), (16, (16,))), 8 if whole else 16
    strides = (1, 2) if whole else (2, 1)
    return replace(config, stages=stages, strides=strides, head=((24, 3, 1), (16, 1, 1)), img_size=side, num_classes=5)


MINIATURES = {SelecSLSConfig: Miniature(smaller)}
