"""On the Relationship between Self-Attention and Convolutional Layers.

Cordonnier, Loukas, Jaggi. ICLR 2020, arXiv 1911.03584.

Heads whose attention depends on the relative position alone, and sharply, each read the pixel at one fixed shift. K^2 of them,
one for each tap of a filter, are a K x K convolution (theorem 1, here convolution_as_attention). So attention can do what a
convolution does; trained with such positions, the heads of the first layers indeed spread out on a grid around the pixel.

Names and keys are the official repository's (epfml/attention-cnn, BertImage with Gaussian attention). Its buffers
attention_mask and R (relative positions up to 50 x 50) hold no learnt numbers: they are left out, on loading too.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import functional as F
from .. import nn
from ..recording import no_grad
from ._backbone import Classifier, SquareImages
from ._registry import register

CENTER_STD, SPREAD_STD, WEIGHT_STD = 2.0, 0.01, 0.02  # the repository's initial values


@functools.lru_cache(maxsize=8)
def relative_positions(height: int, width: int, dtype: np.dtype) -> np.ndarray:
    """Section 3: r = (dy, dx, dy^2, dx^2, dy dx) from every query to every key, row by row.  (5, H W * H W), read-only"""
    grid = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), -1).reshape(-1, 2)  # (N, 2)
    dy, dx = np.moveaxis(grid[None] - grid[:, None], -1, 0)  # (N, N) each: key minus query
    r = np.stack([dy, dx, dy * dy, dx * dx, dy * dx]).reshape(5, -1).astype(dtype)
    r.flags.writeable = False
    return r


class QuadraticAttention(nn.Module):
    """Section 3: heads whose logits are -(d - c)^T S^-1 (d - c) / 2 for the shift d from query to key.

    c is a head's center, in pixels (down, right), and S^-1 = s s^T its spread's inverse: a number s for each head (isotropic),
    or a 2 x 2 matrix (generalised). Every head weighs all D channels as they are; `value` mixes what all heads read.
    """

    def __init__(self, inputs: int, outputs: int, heads: int, isotropic: bool = True, drop_rate: float = 0.0) -> None:
        super().__init__()
        self.heads, self.isotropic = heads, isotropic
        self.attention_centers = nn.Parameter((heads, 2), nn.init.normal(std=CENTER_STD))
        spreads = (heads,) if isotropic else (heads, 2, 2)
        self.attention_spreads = nn.Parameter(spreads, near_identity)
        self.value = nn.Linear(heads * inputs, outputs)
        self.dropout = nn.Dropout(drop_rate)

    def target_vectors(self) -> Any:
        """v (heads, 5) with <v, r> = -(d - c)^T S^-1 (d - c) / 2 + constant: the head's query, the same for every pixel.

        d = (dy, dx), r = (dy, dx, dy^2, dx^2, dy dx). S^-1 is s^2 times the identity if isotropic, else s s^T.
        """
        c, s = self.attention_centers, self.attention_spreads
        if self.isotropic:
            down = right = s * s  # (heads,)
            both = 0.0 * s
        else:
            inverse = s @ s.transpose(1, 2)  # (heads, 2, 2)
            down, right, both = inverse[:, 0, 0], inverse[:, 1, 1], inverse[:, 0, 1]
        towards = [down * c[:, 0] + both * c[:, 1], both * c[:, 0] + right * c[:, 1]]  # S^-1 c
        return np.stack([*towards, -0.5 * down, -0.5 * right, -both], axis=-1)

    def weights(self, height: int, width: int) -> Any:
        """A: softmax over the keys, the same for every image.  -> (heads, H W, H W)"""
        v = self.target_vectors()
        r = relative_positions(height, width, v.dtype)
        return F.softmax((v @ r).reshape(self.heads, height * width, height * width), dim=-1)

    def forward(self, x: Any) -> Any:
        """(B, H, W, D) -> (B, H, W, outputs)"""
        B, H, W, D = x.shape
        A = self.dropout(self.weights(H, W)).reshape(self.heads * H * W, H * W)
        pixels = x.reshape(B, H * W, D).transpose(0, 1).reshape(H * W, B * D)
        read = (A @ pixels).reshape(self.heads, H * W, B, D)  # one product for all heads and images
        return self.value(read.permute(2, 1, 0, 3).reshape(B, H, W, self.heads * D))


def near_identity(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Spreads to begin with: 1, or the 2 x 2 identity, and a little noise."""
    return (np.eye(2) if len(shape) == 3 else 1.0) + nn.init.normal(std=SPREAD_STD)(rng, shape)


@no_grad()
def convolution_as_attention(weight: Any, bias: Any = None, alpha: float = 50.0) -> QuadraticAttention:
    """Theorem 1: the K^2 heads that are a K x K convolution.  weight (outputs, inputs, K, K) with odd K, bias (outputs,)

    Head h looks at its tap's shift with logits -alpha |d - shift|^2 and passes its pixel through the tap's matrix. As alpha
    grows the softmax tends to a single 1, and the layer to the convolution: all other pixels together weigh less than
    5 exp(-alpha) for alpha >= 3. The layer reads (B, H, W, inputs); as the theorem has it, the image brings its zeros around it
    along: pad by K // 2 on all sides, and what comes out inside is the convolution with that padding. float64.
    ValueError for a filter of another shape, and for an alpha that is not above 0.
    """
    weight = np.asarray(getattr(weight, "data", weight), np.float64)
    if weight.ndim != 4 or weight.shape[2] != weight.shape[3] or weight.shape[2] % 2 == 0:
        raise ValueError(f"weight is (outputs, inputs, K, K) with odd K, got {weight.shape}; pad the filter with zeros first")
    if alpha <= 0.0:
        raise ValueError(f"alpha says how sharply a head looks and is above 0, got {alpha}")
    outputs, inputs, k, _ = weight.shape
    layer = QuadraticAttention(inputs, outputs, k * k).to(np.float64)
    shifts = np.stack(np.meshgrid(np.arange(k), np.arange(k), indexing="ij"), -1).reshape(-1, 2) - k // 2
    layer.load_state_dict({
        "attention_centers": shifts.astype(np.float64),
        "attention_spreads": np.full(k * k, np.sqrt(2.0 * alpha)),
        "value.weight": weight.transpose(0, 2, 3, 1).reshape(outputs, k * k * inputs),  # W_val of every head, times W_out
        "value.bias": np.zeros(outputs) if bias is None else np.asarray(getattr(bias, "data", bias), np.float64),
    })  # fmt: skip
    return layer


class Output(nn.Module):
    """A linear layer, dropout, the input of the branch added, and its LayerNorm (post-norm)."""

    def __init__(self, inputs: int, config: AttentionCNNConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=1e-12)
        self.dropout = nn.Dropout(config.drop_rate)

    def forward(self, x: Any, added: Any) -> Any:
        """(B, H, W, inputs) and (B, H, W, D) -> (B, H, W, D)"""
        return self.LayerNorm(self.dropout(self.dense(x)) + added)


class Attention(nn.Module):
    """What the heads read, through one more linear layer, added to the input."""

    def __init__(self, config: AttentionCNNConfig) -> None:
        super().__init__()
        D, heads = config.hidden_size, config.num_heads
        self.self = QuadraticAttention(D, D, heads, config.isotropic, config.drop_rate)
        self.output = Output(D, config)

    def forward(self, x: Any) -> Any:
        """(B, H, W, D) -> the same"""
        return self.output(self.self(x), x)


class Intermediate(nn.Module):
    """The first layer of the two that work on each pixel alone, and GELU."""

    def __init__(self, config: AttentionCNNConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)

    def forward(self, x: Any) -> Any:
        """(B, H, W, D) -> (B, H, W, intermediate_size)"""
        return F.gelu(self.dense(x))


class Layer(nn.Module):
    """A layer of BERT's encoder (Devlin et al. 2019), on a map of pixels."""

    def __init__(self, config: AttentionCNNConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.intermediate = Intermediate(config)
        self.output = Output(config.intermediate_size, config)

    def forward(self, x: Any) -> Any:
        """(B, H, W, D) -> the same"""
        x = self.attention(x)
        return self.output(self.intermediate(x), x)


class AttentionCNN(Classifier):
    """Section 4.1: images (B, C, H, W) of any size that patches divide -> logits (B, num_classes)."""

    def __init__(self, config: AttentionCNNConfig) -> None:
        super().__init__()
        self.config = config
        self.features_upscale = nn.Linear(config.patch_size**2 * config.in_chans, config.hidden_size)
        self.encoder = nn.Sequential({"layer": nn.Sequential(*(Layer(config) for _ in range(config.depth)))})
        self.classifier = nn.Linear(config.hidden_size, config.num_classes) if config.num_classes else nn.Identity()
        self.apply(initialise)

    def forward_features(self, x: Any) -> Any:
        """Patches of 2 x 2 pixels, one after the other in a token, and the layers.  (B, C, H, W) -> (B, D, H/2, W/2)"""
        (B, C, H, W), p = x.shape, self.config.patch_size
        x = x.reshape(B, C, H // p, p, W // p, p).permute(0, 2, 4, 3, 5, 1)  # (B, H/p, W/p, p, p, C)
        x = self.encoder(self.features_upscale(x.reshape(B, H // p, W // p, p * p * C)))
        return x.permute(0, 3, 1, 2)

    def forward_head(self, x: Any) -> Any:
        """The mean token and the classifier.  (B, D, H', W') -> (B, num_classes)"""
        return self.classifier(x.mean((2, 3)))

    def from_published(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Without the repository's two buffers."""
        return {key: array for key, array in arrays.items() if key != "attention_mask" and not key.endswith(".self.R")}


def initialise(module: nn.Module) -> None:
    """Linear layers as BERT begins."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0.0, WEIGHT_STD)
        nn.init.zeros_(module.bias)


@dataclass(frozen=True)
class AttentionCNNConfig(SquareImages):
    """Table 1's "SA quadratic embedding", and what a user may change.

    isotropic: one spread for each head, else a 2 x 2 matrix; num_classes: 0 for no head; img_size: that
    counts are given for; drop_rate: dropout of the attention's weights and before every residual.
    """

    hidden_size: int = 400
    depth: int = 6
    num_heads: int = 9
    intermediate_size: int = 512
    patch_size: int = 2
    isotropic: bool = True
    in_chans: int = 3
    num_classes: int = 10
    img_size: int = 32
    drop_rate: float = 0.1

    def __post_init__(self) -> None:
        if self.img_size % self.patch_size or self.img_size < 1:
            raise ValueError(f"img_size is a positive multiple of patch_size {self.patch_size}, got {self.img_size}")


DIGITS = AttentionCNNConfig(48, 3, 9, 96, in_chans=1, img_size=8, drop_rate=0.0)


@register("attention_cnn_quadratic", AttentionCNNConfig(), params=12_086_844, macs=4_521_250_720)
@register("attention_cnn_generalized", AttentionCNNConfig(isotropic=False), params=12_087_006, macs=4_521_251_152)
@register("attention_cnn_digits", DIGITS)
def build(config: AttentionCNNConfig) -> AttentionCNN:
    """The network of the given configuration."""
    return AttentionCNN(config)
