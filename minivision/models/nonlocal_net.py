"""Non-local Neural Networks.

Wang, Girshick, Gupta, He. CVPR 2018, arXiv 1711.07971.

A convolution sees its neighbours; what is far apart meets only after many layers. Here every position of a map asks every
other one, weighs what it says by how well the two agree, and adds that to itself.

Two readings of the paper differ, and both are here. The authors' network divides the softmax's scores by the root of their
length and pools a map before it is projected (scale, pool_first: the default). The port that the field's PyTorch code grew from
(AlexHex7/Non-local_pytorch, whose entry names these are) does not divide, and pools after projecting.

Deviations: maps of two dimensions only (a video has three). In the ResNet, a block of the paper stands behind a bottleneck as its
`nl`, so that a plain ResNet's entries keep their names, and its weights load with strict=False.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from .. import functional as F
from .. import nn
from . import resnet
from ._registry import register

AFFINITIES = ("gaussian", "embedded", "dot", "concatenation")  # section 3.2


class NonLocalBlock(nn.Module):
    """Eq. 1 and 6: z_i = W_z y_i + x_i,  y_i = sum_j f(x_i, x_j) g(x_j) / C(x).  (B, C, H, W) -> the same

    channels: C; inner: of theta, phi and g, C / 2 without it; affinity: one of AFFINITIES; sub_sample: x_j is every 2 x 2
    pixels' largest, so that j has a quarter of i's values; scale: softmax(theta phi / sqrt(inner)); pool_first: pooled before
    phi and g. It begins as z = x: the norm after W_z has the factor 0 (section 3.3).
    """

    def __init__(
        self,
        channels: int,
        inner: int = 0,
        *,
        affinity: str = "embedded",
        sub_sample: bool = True,
        scale: bool = True,
        pool_first: bool = True,
    ) -> None:
        super().__init__()
        if affinity not in AFFINITIES:
            raise ValueError(f"affinity is one of {', '.join(AFFINITIES)}, got {affinity!r}")
        inner = inner or max(channels // 2, 1)
        self.affinity = affinity
        self.scale = (channels if affinity == "gaussian" else inner) ** -0.5 if scale else 1.0
        self.pool = nn.MaxPool2d(2) if sub_sample and pool_first else nn.Identity()
        pools = (nn.MaxPool2d(2) if not pool_first else nn.Identity(),) if sub_sample else ()
        self.g = with_pools(nn.Conv2d(channels, inner, 1), *pools)
        self.W = nn.Sequential(nn.Conv2d(inner, channels, 1), nn.BatchNorm2d(channels))
        embeds = affinity != "gaussian"
        self.theta = nn.Conv2d(channels, inner, 1) if embeds else nn.Identity()
        self.phi = with_pools(nn.Conv2d(channels, inner, 1) if embeds else nn.Identity(), *pools)
        if affinity == "concatenation":
            self.concat_project = nn.Sequential(nn.Conv2d(2 * inner, 1, 1, bias=False), nn.ReLU())
        self.apply(initialise)
        nn.init.zeros_(self.W[1].weight)

    def scores(self, theta: Any, phi: Any) -> Any:
        """ln f of eq. 2 and 3, or f of eq. 4 and 5.  theta (B, N, d), phi (B, M, d) -> (B, N, M)

        Concatenation: w^T [theta_i, phi_j] = w_1^T theta_i + w_2^T phi_j, a sum where all pairs would be written out.
        """
        if self.affinity != "concatenation":
            return theta @ phi.transpose(1, 2)  # (B, N, M)
        w = self.concat_project[0].weight.reshape(2, -1, 1)  # (2, d, 1)
        return F.relu(theta @ w[0] + (phi @ w[1]).transpose(1, 2))  # (B, N, M)

    def weights(self, x: Any) -> Any:
        """f(x_i, x_j) / C(x).  (B, C, H, W) -> (B, N, M),  N = H W, M = N or N / 4

        gaussian, embedded: C sums over j, so this is softmax over j of the scores (times scale). dot, concatenation: C = M.
        """
        scores = self.scores(tokens(self.theta(x)), tokens(self.phi(self.pool(x))))  # (B, N, M)
        if self.affinity in ("gaussian", "embedded"):
            return F.softmax(self.scale * scores, dim=-1)
        return scores * (1.0 / scores.shape[-1])

    def branch(self, x: Any) -> Any:
        """W_z y.  (B, C, H, W) -> the same"""
        y = self.weights(x) @ tokens(self.g(self.pool(x)))  # (B, N, inner)
        return self.W(y.transpose(1, 2).reshape(x.shape[0], -1, *x.shape[2:]))  # (B, C, H, W)

    def forward(self, x: Any) -> Any:
        """Eq. 6."""
        return self.branch(x) + x


def with_pools(module: nn.Module, *pools: nn.Module) -> nn.Module:
    """The module, and pooling after it; alone where nothing pools, as the port names its entries."""
    return nn.Sequential(module, *pools) if pools else module


def tokens(x: Any) -> Any:
    """The positions of a map as rows.  (B, C, H, W) -> (B, H W, C)"""
    return x.flatten(2).transpose(1, 2)  # (B, N, C)


def initialise(module: nn.Module) -> None:
    """As the authors' network begins: N(0, 0.01^2), biases 0."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, std=0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class BasicBlock(resnet.BasicBlock):
    """ResNet's, and behind it a non-local block where the network has one."""

    def __init__(self, inputs: int, width: int, stride: int, config: resnet.ResNetConfig) -> None:
        super().__init__(inputs, width, stride, config)
        self.nl: nn.Module = nn.Identity()

    def forward(self, x: Any) -> Any:
        """Eq. 6 after the ReLU."""
        return self.nl(super().forward(x))


class Bottleneck(resnet.Bottleneck):
    """ResNet's, and behind it a non-local block where the network has one."""

    def __init__(self, inputs: int, width: int, stride: int, config: resnet.ResNetConfig) -> None:
        super().__init__(inputs, width, stride, config)
        self.nl: nn.Module = nn.Identity()

    def forward(self, x: Any) -> Any:
        """Eq. 6 after the ReLU."""
        return self.nl(super().forward(x))


class NonLocalResNet(resnet.ResNet):
    """Section 4 on images: a ResNet with non-local blocks behind some of its own.  (B, C, H, W) -> (B, num_classes)"""

    blocks: ClassVar[dict[str, Any]] = {"basic": BasicBlock, "bottleneck": Bottleneck}

    def __init__(self, config: NonLocalConfig) -> None:
        super().__init__(config)
        options = {name: getattr(config, name) for name in ("affinity", "sub_sample", "scale", "pool_first")}
        for i, chosen in enumerate(config.nonlocal_after):
            blocks, channels = getattr(self, f"layer{i + 1}"), self.feature_info[i + 1].channels
            for j in chosen:
                blocks[j].nl = NonLocalBlock(channels, **options)


@dataclass(frozen=True)
class NonLocalConfig(resnet.ResNetConfig):
    """ResNet's, and nonlocal_after: in each stage, the blocks that a non-local block follows, from 0; options as it has them."""

    nonlocal_after: tuple[tuple[int, ...], ...] = ((), (1, 3), (1, 3, 5), ())
    affinity: str = "embedded"
    sub_sample: bool = True
    scale: bool = True
    pool_first: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        after = self.nonlocal_after
        if len(after) != len(self.depths) or any(
            not 0 <= j < depth for each, depth in zip(after, self.depths, strict=True) for j in each
        ):
            raise ValueError(
                f"nonlocal_after has for each stage the numbers of some of its blocks, got {after} for {self.depths} blocks"
            )


DIGITS = NonLocalConfig("basic", (1, 1), (16, 32), "cifar", nonlocal_after=((0,), ()), in_chans=1, num_classes=10, img_size=8)


@register("nonlocal_resnet50", NonLocalConfig("bottleneck", (3, 4, 6, 3)), params=32_915_496, macs=5_560_545_280)
@register("nonlocal_digits", DIGITS)
def build(config: NonLocalConfig) -> NonLocalResNet:
    """A ResNet with non-local blocks of the given configuration."""
    return NonLocalResNet(config)
