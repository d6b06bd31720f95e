"""An Image is Worth 16x16 Words: the hybrid.

Dosovitskiy, Beyer, Kolesnikov, Weissenborn, Zhai, Unterthiner, Dehghani, Minderer, Heigold, Gelly, Uszkoreit, Houlsby.
ICLR 2021, arXiv 2010.11929, section 3.1. The smaller one: Steiner et al., TMLR 2022, arXiv 2106.10270.

The Transformer of vit.py reads a convolutional network's map in place of the image: a ResNet has looked at each neighbourhood
before attention compares them. Its batch norms are group norms, and its filters are standardised before they are used
(Qiao et al., arXiv 1903.10520), so that it trains on few images at a time.

Names and keys are timm's, and so is the padding of the weights, which come from TensorFlow: as much on the right and at the
bottom as is missing, and one pixel more than on the other sides where the number is odd.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from .. import functional as F
from .. import nn
from . import vit
from ._backbone import check_choice, check_images
from ._registry import register

STEMS = {"imagenet": (7, 2, True), "small": (3, 1, False)}  # kernel, stride, pooling


def pad_same(x: Any, kernel: int, stride: int, value: float = 0.0) -> Any:
    """A border with which windows of that kernel and stride give ceil(H / stride) rows.  (B, C, H, W) -> (B, C, H', W')

    In all max((ceil(H / s) - 1) s + k - H, 0) rows, the odd one at the bottom; columns likewise.
    """
    border: list[int] = []
    for size in (x.shape[3], x.shape[2]):
        rows = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
        border += [rows // 2, rows - rows // 2]
    return F.pad(x, border, value=value)


class StdConv2d(nn.Conv2d):
    """A convolution whose every filter has mean 0 and variance 1 (Qiao et al., eq. 7-8), padded by pad_same, without bias.

    (B, in, H, W) -> (B, out, ceil(H / stride), ceil(W / stride)). What it computes does not change where a filter w becomes
    a w + b, a > 0, but for eps.
    """

    eps: ClassVar[float] = 1e-8

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, bias=False)
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")

    def standardised(self) -> Any:
        """(out, in, k, k): W less its mean, over the root of its biased variance, for each filter."""
        rows = self.weight.flatten(1)  # (out, in k k)
        return F.layer_norm(rows, rows.shape[1:], eps=self.eps).reshape(self.weight.shape)

    def forward(self, x: Any) -> Any:
        """(B, in, H, W) -> (B, out, H / stride, W / stride), rounded up"""
        x = pad_same(x, self.kernel_size[0], self.stride[0])
        return F.conv2d(x, self.standardised(), stride=self.stride)


class Bottleneck(nn.Module):
    """ResNet's, its stride at the 3x3 convolution: ReLU(F(x) + x).  (B, C, H, W) -> (B, outputs, H / stride, W / stride)"""

    def __init__(self, inputs: int, outputs: int, stride: int, first: bool, groups: int) -> None:
        super().__init__()
        inner = outputs // 4
        project = {"conv": StdConv2d(inputs, outputs, 1, stride), "norm": nn.GroupNorm(groups, outputs)} if first else {}
        self.downsample = nn.Sequential(project)
        self.conv1 = StdConv2d(inputs, inner, 1)
        self.norm1 = nn.GroupNorm(groups, inner)
        self.conv2 = StdConv2d(inner, inner, 3, stride)
        self.norm2 = nn.GroupNorm(groups, inner)
        self.conv3 = StdConv2d(inner, outputs, 1)
        self.norm3 = nn.GroupNorm(groups, outputs)

    def forward(self, x: Any) -> Any:
        """The norms come after the convolutions, and the last ReLU after the sum."""
        y = F.relu(self.norm1(self.conv1(x)))
        y = F.relu(self.norm2(self.conv2(y)))
        return F.relu(self.norm3(self.conv3(y)) + self.downsample(x))


class Stem(nn.Module):
    """What ResNet begins with: 7x7 with stride 2 and pooling, or for small images 3x3 alone."""

    def __init__(self, config: HybridConfig) -> None:
        super().__init__()
        kernel, stride, self.pools = STEMS[config.stem]
        self.conv = StdConv2d(config.in_chans, config.stem_width, kernel, stride)
        self.norm = nn.GroupNorm(config.groups, config.stem_width)

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, stem_width, H / 4, W / 4), or as large as it was"""
        x = F.relu(self.norm(self.conv(x)))
        return F.max_pool2d(pad_same(x, 3, 2, -math.inf), 3, 2) if self.pools else x


class ResNet(nn.Module):
    """The backbone.  (B, C, H, W) -> (B, widths[-1], H / stride, W / stride)"""

    def __init__(self, config: HybridConfig) -> None:
        super().__init__()
        self.stem, self.stages, inputs = Stem(config), nn.Sequential(), config.stem_width
        for i, (outputs, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
            first = Bottleneck(inputs, outputs, 2 if i else 1, True, config.groups)
            others = (Bottleneck(outputs, outputs, 1, False, config.groups) for _ in range(depth - 1))
            self.stages.add_module(str(i), nn.Sequential({"blocks": nn.Sequential(first, *others)}))
            inputs = outputs

    def forward(self, x: Any) -> Any:
        """No norm follows the last block."""
        return self.stages(self.stem(x))


class HybridEmbed(nn.Module):
    """Section 3.1, "hybrid architecture": patches of the backbone's map, of one position each as a rule, times E."""

    def __init__(self, config: HybridConfig) -> None:
        super().__init__()
        self.image = config.input_shape
        self.backbone = ResNet(config)
        side = config.patch_size // config.stride
        self.proj = nn.Conv2d(config.widths[-1], config.embed_dim, side, stride=side)

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, N, D),  N = H W / P^2"""
        check_images("patch_embed", x, self.image, "(H, W)")
        x = self.proj(self.backbone(x))  # (B, D, H/P, W/P)
        return x.flatten(2).transpose(1, 2)  # (B, N, D)


class HybridViT(vit.VisionTransformer):
    """Images (B, C, H, W) -> logits (B, num_classes)."""

    embedding: ClassVar[Any] = HybridEmbed


@dataclass(frozen=True)
class HybridConfig(vit.ViTConfig):
    """ViT's, where patch_size is how many pixels along a side become a token: a multiple of the backbone's stride.

    depths, widths: blocks and channels of each stage; stem: "imagenet" (a quarter of the side) or "small" (the whole side);
    stem_width: its channels; groups: of every norm. ValueError where they do not fit together.
    """

    depths: tuple[int, ...] = (3, 4, 9)
    widths: tuple[int, ...] = (256, 512, 1024)
    stem: str = "imagenet"
    stem_width: int = 64
    groups: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self, "stem", STEMS)
        if len(self.depths) != len(self.widths) or not self.depths or min(self.depths) < 1:
            raise ValueError(f"depths and widths are as many as the stages, got {self.depths} and {self.widths}")
        if self.patch_size % self.stride:
            raise ValueError(f"patch_size {self.patch_size} must be a multiple of the backbone's stride {self.stride}")
        for channels in (self.stem_width, *(width // 4 for width in self.widths)):
            if channels % self.groups:
                raise ValueError(f"groups {self.groups} must divide stem_width and a quarter of each width, but {channels}")

    @property
    def stride(self) -> int:
        """How many pixels along a side one position of the backbone's map is."""
        _, stride, pools = STEMS[self.stem]
        return stride * (2 if pools else 1) * 2 ** (len(self.depths) - 1)


R26 = HybridConfig(384, 12, 6, patch_size=32, depths=(2, 2, 2, 2), widths=(256, 512, 1024, 2048))
DIGITS = HybridConfig(
    64, 2, 4, patch_size=2, img_size=8, in_chans=1, num_classes=10, depths=(1, 1), widths=(32, 64), stem="small", stem_width=16,
    groups=8,
)  # fmt: skip


@register("vit_base_r50_s16_224", HybridConfig(768, 12, 12, num_classes=0), params=97_890_112, macs=21_534_590_976)
@register("vit_base_r50_s16_384", HybridConfig(768, 12, 12, img_size=384), params=98_950_952, macs=67_155_787_776)
@register("vit_small_r26_s32_224", R26, params=36_431_912, macs=3_463_851_008)
@register("hybrid_vit_digits", DIGITS)
def build(config: HybridConfig) -> HybridViT:
    """A hybrid of the given configuration."""
    return HybridViT(config)
