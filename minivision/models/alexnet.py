"""ImageNet Classification with Deep Convolutional Neural Networks.

Krizhevsky, Sutskever, Hinton. NeurIPS 2012.

Five convolutions and three fully connected layers, deep and wide enough for 1.2 million images because ReLU trains several
times faster than tanh, and dropout keeps the large classifier from learning the images by heart.

Deviations, as in the weights the field downloads (torchvision's names and keys): the one-tower variant of Krizhevsky 2014
(1404.5997), 64-192-384-256-256 channels without groups and without local response normalisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .. import nn
from ._backbone import Classifier, SquareImages
from ._registry import register

IMAGENET = ((64, 11, 4, 2), (192, 5, 1, 2), (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1))  # channels, kernel, stride, padding
DIGITS = ((32, 3, 1, 1), (48, 3, 1, 1), (64, 3, 1, 1), (48, 3, 1, 1), (48, 3, 1, 1))
POOLED = (0, 1, 4)  # the convolutions that max pooling follows


class AlexNet(Classifier):
    """Section 3.5: images (B, C, H, W) -> logits (B, num_classes)."""

    def __init__(self, config: AlexNetConfig) -> None:
        super().__init__()
        self.config = config
        layers, inputs = [], config.in_chans
        for i, (channels, kernel, stride, padding) in enumerate(config.convolutions):
            layers += [nn.Conv2d(inputs, channels, kernel, stride=stride, padding=padding), nn.ReLU()]
            layers += [nn.MaxPool2d(config.pool, stride=2, padding=config.pool_padding)] if i in POOLED else []
            inputs = channels
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((config.grid, config.grid))
        hidden, dropped = config.hidden, config.drop_rate
        self.classifier = nn.Sequential(
            nn.Dropout(dropped), nn.Linear(inputs * config.grid**2, hidden), nn.ReLU(),
            nn.Dropout(dropped), nn.Linear(hidden, hidden), nn.ReLU(),
            nn.Linear(hidden, config.num_classes) if config.num_classes else nn.Identity(),
        )  # fmt: skip

    def forward_features(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, 256, H', W'): 6 x 6 places for 224 pixels."""
        return self.features(x)

    def forward_head(self, x: Any) -> Any:
        """Three fully connected layers on 6 x 6 places.  (B, D, H', W') -> (B, num_classes)"""
        return self.classifier(self.avgpool(x).flatten(1))  # (B, 36 D) -> (B, num_classes)


@dataclass(frozen=True)
class AlexNetConfig(SquareImages):
    """Figure 2 and what a user may change.

    convolutions: (channels, kernel, stride, padding) of each; pool: overlapping pooling of 3 x 3 at stride 2 (section 3.4);
    grid: the classifier's places along a side; hidden: its width; drop_rate: before its first two layers (section 4.2).
    """

    convolutions: tuple[tuple[int, int, int, int], ...] = IMAGENET
    pool: int = 3
    pool_padding: int = 0
    grid: int = 6
    hidden: int = 4096
    drop_rate: float = 0.5
    in_chans: int = 3
    num_classes: int = 1000
    img_size: int = 224


@register("alexnet", AlexNetConfig(), params=61_100_840, macs=714_188_480)
@register("alexnet_digits", AlexNetConfig(DIGITS, 3, 1, 1, 96, 0.25, in_chans=1, num_classes=10, img_size=8))
def build(config: AlexNetConfig) -> AlexNet:
    """An AlexNet of the given configuration."""
    return AlexNet(config)
