"""Stand-Alone Self-Attention in Vision Models.

Ramachandran, Parmar, Vaswani, Bello, Levskaya, Shlens. NeurIPS 2019, arXiv 1906.05909.

A pixel attends to the k x k pixels around it, and that takes the place of every 3 x 3 convolution of a ResNet. What a pixel is
multiplied with depends on what is there, not only on where; and the window may grow at hardly any parameters: 3 D^2 for
queries, keys and values, and k D for the rows' and columns' offsets, where a convolution has k^2 D^2.

Names and keys are those of the port the field uses (leaderj1001/Stand-Alone-Self-Attention). It takes the softmax over
positions for each channel alone; here a head's logit is the product of its query and key, as in the paper, and every head has
offsets of rows and of columns. The mean over 2 x 2 pixels follows the attention, as in the paper; the port has it after conv3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import functional as F
from .. import nn
from ..errors import ShapeError
from ..ops.conv import im2col
from ._backbone import Backbone, FeatureInfo, SquareImages, check_choice
from ._registry import register

EXPANSION = 4
STEMS = {"conv": 2, "attention": 1, "cifar": 1}  # and its stride, before pooling


def neighbourhoods(x: Any, window: int, heads: int) -> Any:
    """Every pixel's window, zeros outside of the image; of an even one the larger half lies above and to the left.

    (B, D, H, W) -> (B, heads, H, W, window^2, D / heads)
    """
    B, D, H, W = x.shape
    around = (window // 2, (window - 1) // 2)
    seen = im2col(x.reshape(B * heads, D // heads, H, W), kernel=(window, window), padding=(around, around))
    return seen.reshape(B, heads, H, W, window * window, D // heads)


def attend(query: Any, keys: Any, values: Any) -> Any:
    """Eq. 2-3 with the keys' offsets in them: y_ij = sum over ab of softmax_ab(q_ij^T k_ab) v_ab; no 1 / sqrt(D).

    query (B, D, H, W), keys (B, heads, H, W, window^2, D / heads), values (B, heads, H, W, window^2, E) -> (B, heads E, H, W)
    """
    B, D, H, W = query.shape
    heads = keys.shape[1]
    q = query.reshape(B, heads, D // heads, H, W).permute(0, 1, 3, 4, 2)[..., None, :]  # (B, heads, H, W, 1, D / heads)
    y = F.scaled_dot_product_attention(q, keys, values, scale=1.0)  # (B, heads, H, W, 1, E)
    return y.squeeze(-2).permute(0, 1, 4, 2, 3).reshape(B, -1, H, W)


class LocalAttention(nn.Module):
    """Section 2.2, eq. 3: y_ij = sum over ab near ij of softmax_ab(q_ij^T k_ab + q_ij^T r_{a-i, b-j}) v_ab, for every head.

    A pixel outside of the image has key and value 0 and takes part, with its offset.
    """

    def __init__(self, inputs: int, outputs: int, window: int, heads: int) -> None:
        super().__init__()
        if outputs % (2 * heads):
            raise ValueError(
                f"every head takes half of its channels from rows and half from columns: {outputs} channels should be a "
                f"multiple of 2 x {heads} heads; change widths or heads"
            )
        self.window, self.heads = window, heads
        self.rel_h = nn.Parameter((outputs // 2, 1, 1, window, 1), nn.init.normal())
        self.rel_w = nn.Parameter((outputs // 2, 1, 1, 1, window), nn.init.normal())
        self.key_conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.query_conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.value_conv = nn.Conv2d(inputs, outputs, 1, bias=False)

    def offsets(self) -> Any:
        """r for every place of the window, row by row.  -> (heads, 1, 1, window^2, D / heads)

        Of a head's channels the first half depends on the row alone, through rel_h (D / 2, 1, 1, window, 1), the other half
        on the column, through rel_w (D / 2, 1, 1, 1, window); both hold one head's half after the other.
        """
        k, heads = self.window, self.heads
        down = self.rel_h.reshape(heads, -1, k, 1).expand(-1, -1, k, k)  # (heads, D / heads / 2, k, k)
        right = self.rel_w.reshape(heads, -1, 1, k).expand(-1, -1, k, k)
        r: Any = np.concatenate([down, right], axis=1)  # (heads, D / heads, k, k)
        return r.flatten(2).transpose(1, 2)[:, None, None]

    def forward(self, x: Any) -> Any:
        """(B, inputs, H, W) -> (B, outputs, H, W)"""
        keys = neighbourhoods(self.key_conv(x), self.window, self.heads) + self.offsets()
        return attend(self.query_conv(x), keys, neighbourhoods(self.value_conv(x), self.window, self.heads))


class AttentionStem(nn.Module):
    """Section 3.2: values that know where they are in their window, from which edges can be learnt as by a convolution.

    v_ab = sum over m of p(a, b, m) W_m x_ab,  p(a, b, m) = softmax_m((emb_a(a) + emb_b(b))^T nu_m); nu is emb_mix.
    """

    def __init__(self, inputs: int, outputs: int, window: int = 4, mixtures: int = 4) -> None:
        super().__init__()
        self.window = window
        self.emb_a = nn.Parameter((outputs, window), nn.init.normal())
        self.emb_b = nn.Parameter((outputs, window), nn.init.normal())
        self.emb_mix = nn.Parameter((mixtures, outputs), nn.init.normal())
        self.key_conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.query_conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.value_conv = nn.ModuleList([nn.Conv2d(inputs, outputs, 1, bias=False) for _ in range(mixtures)])

    def mixture(self) -> Any:
        """p, a share of each mixture m for row a and column b, as above; their sum is 1.  -> (mixtures, window, window)

        emb_mix (mixtures, outputs) is nu, a row for each mixture; emb_a and emb_b (outputs, window) have a column for each place.
        """
        rows, columns = self.emb_mix @ self.emb_a, self.emb_mix @ self.emb_b  # (mixtures, window) each
        return F.softmax(rows[:, :, None] + columns[:, None, :], dim=0)

    def forward(self, x: Any) -> Any:
        """(B, inputs, H, W) -> (B, outputs, H, W)

        W_m comes last: sum over ab of w_ab p(a, b, m) x_ab has few channels, and the same sum of W_m x_ab many.
        """
        shares = self.mixture().flatten(1).transpose(0, 1)[:, :, None]  # (window^2, mixtures, 1)
        seen = neighbourhoods(x, self.window, 1)[..., None, :] * shares  # (B, 1, H, W, window^2, mixtures, inputs)
        read = attend(self.query_conv(x), neighbourhoods(self.key_conv(x), self.window, 1), seen.flatten(-2))
        return F.conv2d(read, np.concatenate([W_m.weight for W_m in self.value_conv], axis=1))


class Normed(nn.Sequential):
    """A layer and its batch norm, with a ReLU unless it is left out; a residual is added before that."""

    def __init__(self, layer: nn.Module, channels: int, stride: int = 1) -> None:
        super().__init__(layer, nn.BatchNorm2d(channels))
        self.stride = stride

    def forward(self, x: Any, residual: Any = None, activation: str | None = "relu") -> Any:
        """(B, C, H, W) -> (B, channels, H / stride, W / stride), by the mean of stride x stride pixels"""
        layer, norm = self
        y = layer(x)
        y = F.avg_pool2d(y, self.stride) if self.stride > 1 else y
        return norm(y, residual=residual, activation=activation)


class Bottleneck(nn.Module):
    """ResNet's bottleneck with attention for its 3 x 3 convolution; a stride is a mean after the attention (section 3.1)."""

    def __init__(self, inputs: int, width: int, stride: int, config: SASAConfig) -> None:
        super().__init__()
        outputs = EXPANSION * width
        self.conv1 = Normed(nn.Conv2d(inputs, width, 1, bias=False), width)
        self.conv2 = Normed(LocalAttention(width, width, config.window, config.heads), width, stride)
        self.conv3 = Normed(nn.Conv2d(width, outputs, 1, bias=False), outputs)
        changes = stride > 1 or inputs != outputs
        self.shortcut = Normed(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), outputs) if changes else None

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, 4 width, H / stride, W / stride)"""
        kept = x if self.shortcut is None else self.shortcut(x, activation=None)
        return self.conv3(self.conv2(self.conv1(x)), residual=kept)


class SASA(Backbone):
    """Section 4.1: images (B, C, H, W) whose sides the last stride divides -> logits (B, num_classes)."""

    def __init__(self, config: SASAConfig) -> None:
        super().__init__()
        self.config, inputs = config, config.widths[0]
        first: nn.Module
        self.maxpool: nn.Module
        if config.stem == "attention":
            first, self.maxpool = AttentionStem(config.in_chans, inputs), nn.MaxPool2d(4)
        elif config.stem == "conv":
            first = nn.Conv2d(config.in_chans, inputs, 7, stride=2, padding=3, bias=False)
            self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        else:
            first, self.maxpool = nn.Conv2d(config.in_chans, inputs, 3, padding=1, bias=False), nn.Identity()
        self.init = Normed(first, inputs)
        for i, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True), start=1):
            blocks = [Bottleneck(inputs, width, 1 if i == 1 else 2, config)]
            blocks += [Bottleneck(EXPANSION * width, width, 1, config) for _ in range(depth - 1)]
            self.add_module(f"layer{i}", nn.Sequential(*blocks))
            inputs = EXPANSION * width
        self.dense = nn.Linear(inputs, config.num_classes) if config.num_classes else nn.Identity()
        self.apply(initialise)

    @property
    def feature_info(self) -> list[FeatureInfo]:
        """What forward_maps gives."""
        stem, widths = self.config.stem, self.config.widths
        first = 1 if stem == "cifar" else 4
        stages = [FeatureInfo(f"layer{i + 1}", EXPANSION * width, first << i) for i, width in enumerate(widths)]
        return [FeatureInfo("init", widths[0], STEMS[stem]), *stages]

    def forward_maps(self, x: Any) -> Iterator[Any]:
        """The map after the stem, and after each stage, while they are computed."""
        if any(n % self.feature_info[-1].stride for n in x.shape[2:]):
            wanted = f"sides of multiples of {self.feature_info[-1].stride} pixels, got {x.shape[2]} x {x.shape[3]}"
            hint = "pad the images with mv.functional.pad, or resize them"
            raise ShapeError("sasa", f"a stride halves the map without a rest: {wanted}", f"x {tuple(x.shape)}", hint)
        x = self.init(x)
        yield x
        x = self.maxpool(x)
        for i in range(len(self.config.widths)):
            x = getattr(self, f"layer{i + 1}")(x)
            yield x

    def forward_head(self, x: Any) -> Any:
        """Global average pooling and the classifier.  (B, D, H', W') -> (B, num_classes)"""
        return self.dense(x.mean((2, 3)))


def initialise(module: nn.Module) -> None:
    """He et al. 2015, by what leaves a convolution; offsets and embeddings stay as they were made, N(0, 1)."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


@dataclass(frozen=True)
class SASAConfig(SquareImages):
    """Section 4.1's networks, and what a user may change.

    depths, widths: blocks and channels of each stage; stem: "conv" (7 x 7 and pooling), "attention" (section 3.2, and a
    pooling of 4 x 4) or "cifar" (3 x 3, the whole side); window, heads: of every attention; num_classes: 0 for no head;
    img_size: that counts are given for.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...] = (64, 128, 256, 512)
    stem: str = "conv"
    window: int = 7
    heads: int = 8
    in_chans: int = 3
    num_classes: int = 1000
    img_size: int = 224

    def __post_init__(self) -> None:
        check_choice(self, "stem", STEMS)
        if len(self.depths) != len(self.widths):
            raise ValueError(f"depths and widths are as many as the stages, got {self.depths} and {self.widths}")


@register("sasa_resnet26", SASAConfig((1, 2, 4, 1)), params=10_342_632, macs=2_185_607_168)
@register("sasa_resnet38", SASAConfig((2, 3, 5, 2)), params=14_190_632, macs=2_787_668_992)
@register("sasa_resnet50", SASAConfig((3, 4, 6, 3)), params=18_038_632, macs=3_389_730_816)
@register("sasa_resnet26_full", SASAConfig((1, 2, 4, 1), stem="attention"), params=10_335_144, macs=2_186_412_032)
@register("sasa_resnet38_full", SASAConfig((2, 3, 5, 2), stem="attention"), params=14_183_144, macs=2_788_473_856)
@register("sasa_resnet50_full", SASAConfig((3, 4, 6, 3), stem="attention"), params=18_031_144, macs=3_390_535_680)
@register("sasa_digits", SASAConfig((1, 1), (16, 32), "cifar", window=3, heads=2, in_chans=1, num_classes=10, img_size=8))
def build(config: SASAConfig) -> SASA:
    """The network of the given configuration."""
    return SASA(config)
