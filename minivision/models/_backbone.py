"""What the networks for images have in common, so that a paper's file holds what is its own."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .. import nn
from ..errors import ShapeError


class SquareImages:
    """A configuration with `in_chans` channels of images and `img_size` pixels along a side."""

    in_chans: int
    img_size: int

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return self.in_chans, self.img_size, self.img_size


class Images:
    """A configuration with `in_chans` channels of images whose `img_size` is one number for both sides, or (H, W)."""

    in_chans: int
    img_size: int | tuple[int, int]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        height, width = (self.img_size, self.img_size) if isinstance(self.img_size, int) else self.img_size
        return self.in_chans, height, width


class Texts:
    """A configuration of a model that reads whole numbers.

    longest: the field that says how many it reads at once; writes: whether the model goes on with texts (minivision.generate);
    recurrent: whether it reads a text segment by segment, with a memory that its loss takes and that the next one sees.
    """

    longest: ClassVar[str] = "n_positions"
    writes: ClassVar[bool] = False
    recurrent: ClassVar[bool] = False

    @property
    def input_shape(self) -> tuple[int]:
        """(T) of one text."""
        return (int(getattr(self, self.longest)),)

    @property
    def input_dtype(self) -> np.dtype:
        """Whole numbers."""
        return np.dtype(np.int64)


def check_choice(config: Any, name: str, known: Collection[str]) -> None:
    """ValueError where a setting is none of those that there are."""
    if getattr(config, name) not in known:
        raise ValueError(f"{name} is one of {', '.join(known)}, got {getattr(config, name)!r}")


def check_images(operation: str, x: Any, wanted: tuple[int, int, int], size: str = "H") -> None:
    """ShapeError where x is not a batch of images (C, H, W) of the one shape that a model takes; size: what img_size may be."""
    if tuple(x.shape[1:]) != wanted:
        hint = f"resize the images, or build the model for them: create_model(..., img_size={size}, in_chans=C)"
        problem = f"this model takes images (B, {', '.join(map(str, wanted))}), got {tuple(x.shape)}"
        raise ShapeError(operation, problem, f"x {tuple(x.shape)} {x.dtype}", hint)


def initialise(module: nn.Module) -> None:
    """Every linear layer begins as N(0, 0.02^2), bias 0. Convolutions stay as Conv2d makes them."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class Classifier(nn.Module):
    """Images (B, C, H, W) -> features (B, D, H', W') -> logits (B, num_classes)."""

    def forward_features(self, x: Any) -> Any:
        """What the head is given.  (B, C, H, W) -> (B, D, H', W')"""
        raise NotImplementedError

    def forward_head(self, x: Any) -> Any:
        """(B, D, H', W') -> (B, num_classes)"""
        raise NotImplementedError

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, num_classes)"""
        return self.forward_head(self.forward_features(x))


class FeatureInfo(NamedTuple):
    """A map: the module that it comes from (or is made from), its channels, and how many pixels of the image one of it is."""

    module: str
    channels: int
    stride: int


class Backbone(Classifier):
    """A classifier that also gives the maps it makes on its way, for what stands on them: _features.FeatureMaps."""

    @property
    def feature_info(self) -> list[FeatureInfo]:
        """What forward_maps gives."""
        raise NotImplementedError

    def forward_maps(self, x: Any) -> Iterator[Any]:
        """The maps, from large to small, while they are computed."""
        raise NotImplementedError

    def forward_features(self, x: Any) -> Any:
        """The last map.  (B, C, H, W) -> (B, D, H', W')"""
        *_, last = self.forward_maps(x)
        return last

    def maps_along(self, x: Any, layers: nn.Module, prefix: str = "") -> Iterator[Any]:
        """x through the parts of `layers`, in order: the maps that feature_info names, up to the last of them.

        prefix: before a part's name there, such as "features.".
        """
        wanted = {each.module for each in self.feature_info}
        for name, layer in layers.named_children():
            x = layer(x)
            if prefix + name in wanted:
                wanted.remove(prefix + name)
                yield x
            if not wanted:
                return
