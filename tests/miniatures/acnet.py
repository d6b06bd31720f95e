"""ACNet, small."""

from dataclasses import replace

from minivision.models.acnet_cifar import ACNetConfig

from . import Miniature

SIZES = {  # widths, depths, side of the image
    "cifar_quick": ((6, 6), (1, 1), 9),
    "vgg": ((6, 8), (2, 1), 8),
    "resnet": ((6, 8), (1, 1), 8),
    "wide_resnet": ((8, 12), (2, 1), 8),
}


def smaller(config: ACNetConfig) -> ACNetConfig:
    """Two narrow stages."""
    widths, depths, side = SIZES[config.network]
    return replace(config, widths=widths, depths=depths, hidden=12, img_size=side, num_classes=5)


MINIATURES = {ACNetConfig: Miniature(smaller, lr=1e-2)}
