"""Squeeze-and-Excitation Networks.

Hu, Shen, Albanie, Sun, Wu. CVPR 2018, TPAMI 2020, arXiv 1709.01507.

A convolution's channels are all as loud for one image as for another. A block that looks at the means of all channels, and scales
each of them by a number between 0 and 1, lets the image decide; it costs two small matrices.

Names and keys are timm's: seresnet* are torchvision's ResNets with gates and the stride at the 3x3 convolution, legacy_seresnet50
is the authors' network as converted from Caffe, its stride at the first 1x1 and its pooling without padding. Deviation: timm puts
a dropout before the legacy classifier, which its own notes say an SE-ResNet has not; here there is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from .. import functional as F
from .. import nn
from ._backbone import Backbone, FeatureInfo
from ._registry import register
from .resnet import BasicBlock, Bottleneck, ResNet, ResNetConfig, initialise, stage


class SqueezeExcitation(nn.Module):
    """Section 3: s = sigmoid(W2 ReLU(W1 z)) of the channels' means z, and each channel times its own s.

    channels: C; reduction: r, from C to C / r and back; narrowest: what C / r is at least.
    """

    def __init__(self, channels: int, reduction: int = 16, narrowest: int = 1) -> None:
        super().__init__()
        narrow = max(channels // reduction, narrowest)
        self.fc1 = nn.Conv2d(channels, narrow, 1)
        self.fc2 = nn.Conv2d(narrow, channels, 1)

    def gates(self, x: Any) -> Any:
        """s of eq. 3, from the means z of eq. 2.  (B, C, H, W) -> (B, C, 1, 1)"""
        z = x.mean((2, 3), keepdims=True)  # (B, C, 1, 1)
        return self.fc2(F.relu(self.fc1(z))).sigmoid()

    def forward(self, x: Any) -> Any:
        """Eq. 4: s x.  (B, C, H, W) -> (B, C, H, W)"""
        return self.gates(x) * x


def added_weights(channels: tuple[int, ...], depths: tuple[int, ...], reduction: int = 16) -> int:
    """Eq. 5: what all blocks' matrices W1 and W2 hold, (2 / r) sum_s N_s C_s^2; biases are not counted.

    channels: C_s, the channels that a block of stage s gives; depths: N_s, its blocks; reduction: r, which divides each C_s.
    """
    return sum(2 * n * c * (c // reduction) for n, c in zip(depths, channels, strict=True))


# ----------------------------------------------------------------------------------------------- section 3.3, figure 3: SE-ResNet


def gated(block: Any, name: str, channels: int, config: SEConfig) -> None:
    """Gives a residual block its gates; the shortcut is registered after them, as in the checkpoints."""
    downsample = block.downsample
    del block.downsample
    block.add_module(name, SqueezeExcitation(channels, config.reduction, config.narrowest))
    block.downsample = downsample


class SEBasicBlock(BasicBlock):
    """A basic block whose branch is gated before the sum."""

    se: SqueezeExcitation

    def __init__(self, inputs: int, width: int, stride: int, config: SEConfig) -> None:
        super().__init__(inputs, width, stride, config)
        gated(self, "se", width, config)
        nn.init.zeros_(self.bn2.weight)

    def forward(self, x: Any) -> Any:
        """y = ReLU(s F(x) + x).  (B, C, H, W) -> (B, width, H / stride, W / stride)"""
        return F.relu(self.se(self.branch(x)) + self.downsample(x))


class SEBottleneck(Bottleneck):
    """A bottleneck whose branch is gated before the sum."""

    se: SqueezeExcitation

    def __init__(self, inputs: int, width: int, stride: int, config: SEConfig) -> None:
        super().__init__(inputs, width, stride, config)
        gated(self, "se", width * self.expansion, config)
        nn.init.zeros_(self.bn3.weight)

    def forward(self, x: Any) -> Any:
        """y = ReLU(s F(x) + x).  (B, C, H, W) -> (B, 4 width, H / stride, W / stride)"""
        return F.relu(self.se(self.branch(x)) + self.downsample(x))


class SEResNet(ResNet):
    """Table 1, middle column: images (B, C, H, W) -> logits (B, num_classes)."""

    blocks: ClassVar[dict[str, Any]] = {"basic": SEBasicBlock, "bottleneck": SEBottleneck}


# ------------------------------------------------------------------------------------------------------------- as it was in Caffe


class LegacySEBottleneck(Bottleneck):
    """The gated bottleneck with its stride at the first 1x1 convolution, as in the first ResNets."""

    se_module: SqueezeExcitation

    def __init__(self, inputs: int, width: int, stride: int, config: SEConfig) -> None:
        super().__init__(inputs, width, stride, config)
        self.conv1 = nn.Conv2d(inputs, width, 1, stride=stride, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        gated(self, "se_module", width * self.expansion, config)

    def forward(self, x: Any) -> Any:
        """y = ReLU(s F(x) + x).  (B, C, H, W) -> (B, 4 width, H / stride, W / stride)"""
        return F.relu(self.se_module(self.branch(x)) + self.downsample(x))


class LegacySEResNet(Backbone):
    """The network under the names of its Caffe conversion: images (B, C, H, W) -> logits (B, num_classes).

    The pooling has no padding, and its last window may reach over the edge (ceil mode): a side of n becomes floor(n / 2), where
    ResNet's becomes ceil(n / 2), and each window begins a pixel later.
    """

    def __init__(self, config: LegacySEConfig) -> None:
        super().__init__()
        self.config, inputs = config, config.widths[0]
        self.layer0 = nn.Sequential()
        self.layer0.add_module("conv1", nn.Conv2d(config.in_chans, inputs, 7, stride=2, padding=3, bias=False))
        self.layer0.add_module("bn1", nn.BatchNorm2d(inputs))
        self.layer0.add_module("relu1", nn.ReLU())
        self.pool0 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        for i, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True), start=1):
            self.add_module(f"layer{i}", stage(LegacySEBottleneck, inputs, width, depth, 1 if i == 1 else 2, config))
            inputs = width * LegacySEBottleneck.expansion
        self.last_linear = nn.Linear(inputs, config.num_classes) if config.num_classes else nn.Identity()
        self.apply(initialise)

    @property
    def feature_info(self) -> list[FeatureInfo]:
        """What forward_maps gives."""
        widths = self.config.widths
        stages = [FeatureInfo(f"layer{i + 1}", 4 * width, 4 << i) for i, width in enumerate(widths)]
        return [FeatureInfo("layer0", widths[0], 2), *stages]

    def forward_maps(self, x: Any) -> Iterator[Any]:
        """The map after the first convolution, and after each stage, while they are computed."""
        x = self.layer0(x)  # (B, 64, H/2, W/2)
        yield x
        x = self.pool0(x)
        for i in range(len(self.config.widths)):
            x = getattr(self, f"layer{i + 1}")(x)
            yield x

    def forward_head(self, x: Any) -> Any:
        """Global average pooling and the classifier.  (B, D, H', W') -> (B, num_classes)"""
        return self.last_linear(x.mean((2, 3)))


@dataclass(frozen=True)
class SEConfig(ResNetConfig):
    """ResNetConfig, and the gates' middle: r of section 3.2, and timm's least width."""

    reduction: int = 16
    narrowest: int = 8


@dataclass(frozen=True)
class LegacySEConfig(SEConfig):
    """SEConfig of the network in Caffe's layout: bottlenecks and the ImageNet stem, whatever block and stem say."""

    block: str = "bottleneck"
    depths: tuple[int, ...] = (3, 4, 6, 3)


DIGITS = SEConfig("basic", (1, 1), (16, 32), "cifar", in_chans=1, num_classes=10, img_size=8, reduction=4)


@register("seresnet18", SEConfig("basic", (2, 2, 2, 2)), params=11_779_624, macs=1_814_161_408)
@register("seresnet50", SEConfig("bottleneck", (3, 4, 6, 3)), params=28_088_024, macs=4_091_699_200)
@register("seresnet_digits", DIGITS)
def build(config: SEConfig) -> SEResNet:
    """An SE-ResNet of the given configuration."""
    return SEResNet(config)


@register("legacy_seresnet50", LegacySEConfig(), params=28_088_024, macs=3_860_488_192)
def build_legacy(config: LegacySEConfig) -> LegacySEResNet:
    """The authors' SE-ResNet, in Caffe's layout."""
    return LegacySEResNet(config)
