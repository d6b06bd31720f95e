"""ResNeXt, small."""

from dataclasses import replace

from minivision.models.resnext import ResNeXtConfig

from . import Miniature


def smaller(config: ResNeXtConfig) -> ResNeXtConfig:
    """Four groups, two wide in the first stages; two blocks where the shape stays, one where it changes."""
    stages, side = len(config.widths), 32 if config.stem == "imagenet" else 8
    sizes = {"depths": (2, 1, 1, 1)[:stages], "widths": (16, 16, 24, 24)[:stages], "groups": 4, "base_width": 8}
    return replace(config, **sizes, img_size=side, num_classes=5)


MINIATURES = {ResNeXtConfig: Miniature(smaller)}
