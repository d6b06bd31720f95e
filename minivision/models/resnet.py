"""Deep Residual Learning for Image Recognition.

He, Zhang, Ren, Sun. CVPR 2016, arXiv 1512.03385.

A stack of layers that should learn H(x) is given x as it is and learns the rest, F(x) = H(x) - x. Then more layers are
never harder to train than fewer: to do nothing they only need F = 0, and the gradient reaches every block unchanged.

Deviations, as in the weights the field downloads (torchvision's names and keys, "v1.5"): a bottleneck's stride is at its
3x3 convolution, where the paper has it at the first 1x1. Where the shape changes, the ImageNet networks project (option B)
and those for CIFAR pad with zeros (option A), as in the paper.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from .. import functional as F
from .. import nn
from ._backbone import Backbone, FeatureInfo, SquareImages, check_choice
from ._registry import register

WIDTHS = (64, 128, 256, 512)  # of the four stages, table 1
STEMS = ("imagenet", "cifar")


class BasicBlock(nn.Module):
    """Figure 5, left: two 3x3 convolutions."""

    expansion: ClassVar[int] = 1

    def __init__(self, inputs: int, width: int, stride: int, config: ResNetConfig) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = shortcut(inputs, width, stride, config)

    def branch(self, x: Any, **last: Any) -> Any:
        """F(x); last: what the last norm does in the same pass.  (B, C, H, W) -> (B, width, H / stride, W / stride)"""
        y = self.bn1(self.conv1(x), activation="relu")
        return self.bn2(self.conv2(y), **last)

    def forward(self, x: Any) -> Any:
        """Eq. 1-2: y = ReLU(F(x) + x)."""
        return self.branch(x, residual=self.downsample(x), activation="relu")


class Bottleneck(nn.Module):
    """Figure 5, right: 1x1 to few channels, 3x3 among them, 1x1 back to four times as many.

    groups and base_width are ResNeXt's (section 3 there): the 3x3 convolution's groups, and how wide each is in the first stage.
    """

    expansion: ClassVar[int] = 4

    def __init__(self, inputs: int, width: int, stride: int, config: ResNetConfig) -> None:
        super().__init__()
        inner, outputs = width * config.base_width // WIDTHS[0] * config.groups, width * self.expansion
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride=stride, padding=1, groups=config.groups, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = shortcut(inputs, outputs, stride, config)

    def branch(self, x: Any, **last: Any) -> Any:
        """F(x); last: what the last norm does in the same pass.  (B, C, H, W) -> (B, 4 width, H / stride, W / stride)"""
        y = self.bn1(self.conv1(x), activation="relu")
        y = self.bn2(self.conv2(y), activation="relu")
        return self.bn3(self.conv3(y), **last)

    def forward(self, x: Any) -> Any:
        """Eq. 1-2: y = ReLU(F(x) + x)."""
        return self.branch(x, residual=self.downsample(x), activation="relu")


def shortcut(inputs: int, outputs: int, stride: int, config: ResNetConfig) -> nn.Module:
    """Section 3.3: the input as it is; where the shape changes, zeros beside it (A), or W_s x and its norm (B)."""
    if not config.residual:
        return Nothing()
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    if config.stem == "cifar":
        return PadShortcut(outputs - inputs, stride)
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))


class PadShortcut(nn.Module):
    """Option A: every stride-th pixel, and zeros for the channels that are new.  (B, C, H, W) -> (B, C + more, H / s, W / s)"""

    def __init__(self, more: int, stride: int) -> None:
        super().__init__()
        self.more, self.stride = more, stride

    def forward(self, x: Any) -> Any:
        """No parameters: neither paths nor sizes grow."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))


class Nothing(nn.Module):
    """A plain network's shortcut: there is none."""

    def forward(self, x: Any) -> None:
        """Nothing to add."""
        return


class ResNet(Backbone):
    """Table 1 (stem "imagenet") or section 4.2 (stem "cifar"): images (B, C, H, W) -> logits (B, num_classes)."""

    blocks: ClassVar[dict[str, Any]] = {"basic": BasicBlock, "bottleneck": Bottleneck}

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.config = config
        block, inputs = self.blocks[config.block], config.widths[0]
        kernel, stride = (7, 2) if config.stem == "imagenet" else (3, 1)
        self.conv1 = nn.Conv2d(config.in_chans, inputs, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if config.stem == "imagenet" else nn.Identity()
        for i, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True), start=1):
            self.add_module(f"layer{i}", stage(block, inputs, width, depth, 1 if i == 1 else 2, config))
            inputs = width * block.expansion
        self.fc = nn.Linear(inputs, config.num_classes) if config.num_classes else nn.Identity()
        self.apply(initialise)

    @property
    def feature_info(self) -> list[FeatureInfo]:
        """What forward_maps gives."""
        expansion, widths = self.blocks[self.config.block].expansion, self.config.widths
        first, stem = (4, 2) if self.config.stem == "imagenet" else (1, 1)
        stages = [FeatureInfo(f"layer{i + 1}", width * expansion, first << i) for i, width in enumerate(widths)]
        return [FeatureInfo("bn1", widths[0], stem), *stages]

    def forward_maps(self, x: Any) -> Iterator[Any]:
        """The map after the first convolution, and after each stage, while they are computed."""
        x = self.bn1(self.conv1(x), activation="relu")  # (B, 64, H/2, W/2)
        yield x
        x = self.maxpool(x)
        for i in range(len(self.config.widths)):
            x = getattr(self, f"layer{i + 1}")(x)
            yield x

    def forward_head(self, x: Any) -> Any:
        """Global average pooling and the classifier.  (B, D, H', W') -> (B, num_classes)"""
        return self.fc(x.mean((2, 3)))


def stage(block: Any, inputs: int, width: int, depth: int, stride: int, config: ResNetConfig) -> nn.Sequential:
    """Blocks of one width; the first one takes the stride."""
    first = block(inputs, width, stride, config)
    return nn.Sequential(first, *(block(width * block.expansion, width, 1, config) for _ in range(depth - 1)))


def initialise(module: nn.Module) -> None:
    """He et al. 2015, by what leaves a convolution; norms begin as the identity."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


@dataclass(frozen=True)
class ResNetConfig(SquareImages):
    """Table 1's columns, section 4.2's networks, and what a user may change.

    block: "basic" or "bottleneck"; depths, widths: blocks and channels of each stage; stem: "imagenet" (7x7 and pooling, a
    quarter of the side) or "cifar" (3x3, the whole side); residual: False for the plain network; groups, base_width: as
    Bottleneck has them; num_classes: 0 for no head; img_size: that counts are given for, while any is taken.
    """

    block: str
    depths: tuple[int, ...]
    widths: tuple[int, ...] = WIDTHS
    stem: str = "imagenet"
    residual: bool = True
    groups: int = 1
    base_width: int = 64
    in_chans: int = 3
    num_classes: int = 1000
    img_size: int = 224

    def __post_init__(self) -> None:
        check_choice(self, "block", ResNet.blocks)
        check_choice(self, "stem", STEMS)
        if len(self.depths) != len(self.widths):
            raise ValueError(f"depths and widths are as many as the stages, got {self.depths} and {self.widths}")


def cifar(depth: int) -> ResNetConfig:
    """Section 4.2: 6n + 2 layers."""
    return ResNetConfig("basic", ((depth - 2) // 6,) * 3, (16, 32, 64), "cifar", num_classes=10, img_size=32)


@register("resnet18", ResNetConfig("basic", (2, 2, 2, 2)), params=11_689_512, macs=1_814_073_344)
@register("resnet34", ResNetConfig("basic", (3, 4, 6, 3)), params=21_797_672, macs=3_663_761_408)
@register("resnet50", ResNetConfig("bottleneck", (3, 4, 6, 3)), params=25_557_032, macs=4_089_184_256)
@register("resnet101", ResNetConfig("bottleneck", (3, 4, 23, 3)), params=44_549_160, macs=7_801_405_440)
@register("resnet152", ResNetConfig("bottleneck", (3, 8, 36, 3)), params=60_192_808, macs=11_513_626_624)
@register("resnet20", cifar(20))
@register("resnet56", cifar(56))
@register("resnet_digits", ResNetConfig("basic", (1, 1), (16, 32), "cifar", in_chans=1, num_classes=10, img_size=8))
def build(config: ResNetConfig) -> ResNet:
    """A ResNet of the given configuration."""
    return ResNet(config)
