"""ShuffleNet v2, small."""

from dataclasses import replace

from minivision.models.shufflenet_v2 import ShuffleNetV2Config

from . import Miniature


def smaller(config: ShuffleNetV2Config) -> ShuffleNetV2Config:
    """A unit of each kind in the first stage; narrow stages on small images."""
    stages, side = len(config.depths), 64 if config.stem == "imagenet" else 8
    widths = (8, *(12, 16, 20)[:stages], 24)
    return replace(config, depths=(2, 1, 1)[:stages], widths=widths, img_size=side, num_classes=5)


MINIATURES = {ShuffleNetV2Config: Miniature(smaller, lr=1e-2)}
