"""DynamicViT: Efficient Vision Transformers with Dynamic Token Sparsification.

Rao, Zhao, Liu, Lu, Zhou, Hsieh. NeurIPS 2021, arXiv 2106.02034.

Most patches say nothing about what is in an image, and a transformer needs no grid. A small network before some of the
blocks scores the patches that are left and a share rho of them goes on; in training every patch is carried along, and
attention does not look at those that were decided against, so that the decisions can be learnt.

Names and keys are the official ones (raoyongming/DynamicViT), whose network is DeiT-S. Deviations: the patches that stay
keep their order, where the official code sorts them by score, which no block notices; training mode gives the logits alone,
unless the configuration says distill.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .. import functional as F
from .. import nn
from ..ops.elementwise import raw
from . import vit
from ._backbone import initialise
from ._registry import register

EPS = 1e-6  # so that no row of masked weights is 0 / 0


class Predictor(nn.Module):
    """Section 3.2: how likely each patch is to be kept, from itself and from all that are left."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.in_conv = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU())
        half, quarter = nn.Linear(dim, dim // 2), nn.Linear(dim // 2, dim // 4)
        self.out_conv = nn.Sequential(half, nn.GELU(), quarter, nn.GELU(), nn.Linear(dim // 4, 2), nn.LogSoftmax(-1))

    def forward(self, x: Any, policy: Any = None) -> Any:
        """Local and global features.  x (B, N, D), policy (B, N, 1) -> log-probabilities (B, N, 2) of keeping and of dropping

        Half of in_conv's features stay a patch's own; the other half become their mean over the patches whose policy is 1
        (None: all; where it is 1 for none, the mean is 0). out_conv reads both, side by side.
        """
        y = self.in_conv(x)  # (B, N, D)
        local, rest = y[:, :, : y.shape[2] // 2], y[:, :, y.shape[2] // 2 :]  # 2 x (B, N, D/2)
        policy = np.ones((*x.shape[:2], 1), x.dtype) if policy is None else policy
        count = np.maximum(policy.sum(1, keepdims=True), 0.5)  # where none is left, the mean is 0 and not 0 / 0
        mean = (rest * policy).sum(1, keepdims=True) / count  # (B, 1, D/2)
        return self.out_conv(np.concatenate([local, mean.expand(-1, x.shape[1], -1)], axis=-1))


def masked_softmax(scores: Any, policy: Any, eps: float) -> Any:
    """Section 3.3: weights (B, heads, N, N) whose rows see the tokens with policy 1, and every token itself.

    (e_ij G_ij + eps / N) / (sum_k e_ik G_ik + eps),  e_ij = exp(s_ij - max_k s_ik),  G_ij = 1 if i = j, else j's policy.
    scores s (B, heads, N, N), policy (B, N, 1). With eps = 0, a kept token's row is the softmax over the kept tokens alone.
    """
    B, N, _ = policy.shape
    columns = policy.reshape(B, 1, 1, N)
    seen = columns + (1.0 - columns) * np.eye(N, dtype=scores.dtype)  # (B, 1, N, N)
    weights = np.exp(scores - np.max(scores, axis=-1, keepdims=True)) * seen
    return (weights + eps / N) / (weights.sum(-1, keepdims=True) + eps)


class Attention(vit.Attention):
    """ViT's, with a policy that says which tokens are looked at."""

    def forward(self, x: Any, policy: Any = None) -> Any:
        """(B, N, D) -> the same; policy (B, N, 1): which tokens are looked at, or None for all"""
        if policy is None:
            return super().forward(x)
        q, k, v = self.heads(x)  # 3 x (B, heads, N, D_h)
        weights = masked_softmax(q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5, policy, EPS)  # (B, heads, N, N)
        return self.proj((weights @ v).transpose(1, 2).flatten(2))  # (B, N, D)


class Block(vit.Block):
    """A block of ViT whose attention has a policy."""

    def __init__(self, config: vit.ViTConfig, drop_path: float) -> None:
        super().__init__(config, drop_path)
        self.attn = Attention(config)

    def forward(self, x: Any, policy: Any = None) -> Any:
        """(B, N, D) -> the same"""
        x = x + self.drop_path(self.attn(self.norm1(x), policy))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class Sparsified(NamedTuple):
    """For the loss: logits (B, C); all patches' normed tokens (B, N, D); (B, N) of the last decision, detached, and of each."""

    logits: Any
    tokens: Any
    kept: Any
    decisions: list[Any]


class DynamicViT(vit.VisionTransformer):
    """Section 3: images (B, C, H, W) -> logits (B, num_classes).

    Evaluation mode goes on with the patches that score best, config.tokens[j] of them after stage j. Training mode draws
    the decisions and masks; with config.distill it gives a Sparsified.
    """

    block: ClassVar[Any] = Block

    def __init__(self, config: DynamicViTConfig) -> None:
        super().__init__(config)
        self.config: DynamicViTConfig = config
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        self.score_predictor = nn.ModuleList([Predictor(config.embed_dim) for _ in config.pruning_loc])
        self.score_predictor.apply(initialise)

    def decide(self, log_probabilities: Any, kept: Any) -> Any:
        """1 for a patch that is drawn to be kept and was kept before, 0 else.  (B, N, 2), (B, N, 1) -> (B, N, 1)

        The gradient is that of the Gumbel-Softmax at temperature 1.
        """
        return F.gumbel_softmax(log_probabilities, hard=True)[:, :, :1] * kept

    def masked(self, x: Any) -> tuple[Any, list[Any]]:
        """All blocks in training: every token goes through.  (B, 1 + N, D) -> the same, and each stage's (B, N, 1)"""
        B, tokens, _ = x.shape
        one = np.ones((B, 1, 1), x.dtype)
        kept: Any = np.ones((B, tokens - 1, 1), x.dtype)
        decisions: list[Any] = []
        for i, block in enumerate(self.blocks):
            if i in self.config.pruning_loc:
                kept = self.decide(self.score_predictor[len(decisions)](x[:, 1:], kept), kept)
                decisions.append(kept)
            x = block(x, np.concatenate([one, kept], axis=1))
        return x, decisions

    def chosen(self, x: Any, stage: int) -> np.ndarray:
        """Section 3.4, inference: the places of the patches that score best, from first to last.  (B, 1 + n, D) -> (B, k)

        Scores are the stage's predictor's log-probabilities of keeping; the class token is no patch; k is config.tokens[stage].
        """
        scores = raw(self.score_predictor[stage](x[:, 1:]))[:, :, 0]
        best = np.argsort(-scores, axis=1, kind="stable")[:, : self.config.tokens[stage]]
        return np.sort(best, axis=1)

    def pruned(self, x: Any) -> tuple[Any, list[np.ndarray]]:
        """All blocks in evaluation: (B, 1 + N, D) -> (B, 1 + k, D), and which patches (B, k) are left after each stage."""
        rows = np.arange(x.shape[0])[:, None]  # (B, 1)
        left = np.tile(np.arange(x.shape[1] - 1), (len(rows), 1))  # (B, N)
        stages: list[np.ndarray] = []
        for i, block in enumerate(self.blocks):
            if i in self.config.pruning_loc:
                best = self.chosen(x, len(stages))
                left = np.take_along_axis(left, best, axis=1)
                stages.append(left)
                x = x[rows, np.concatenate([np.zeros_like(best[:, :1]), best + 1], axis=1)]  # (B, 1 + k, D)
            x = block(x)
        return x, stages

    def forward_features(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, 1 + k, D), the class token and the patches that are left; in training mode all of them"""
        x = self.embed(x)
        return self.norm(self.masked(x)[0] if self.training else self.pruned(x)[0])

    def forward(self, x: Any) -> Any:
        """(B, C, H, W) -> (B, num_classes), or a Sparsified"""
        if not (self.training and self.config.distill):
            return super().forward(x)
        x, decisions = self.masked(self.embed(x))
        x, flat = self.norm(x), [each[:, :, 0] for each in decisions]  # (B, 1 + N, D), (B, N) each
        return Sparsified(self.forward_head(x), x[:, 1:], flat[-1].detach(), flat)


class Losses(NamedTuple):
    """The parts of the loss: of the labels, of the teacher's tokens and logits, of the share that is kept."""

    labels: Any
    tokens: Any
    logits: Any
    ratio: Any


WEIGHTS = Losses(1.0, 0.5, 0.5, 2.0)  # the paper's


def losses(outputs: Sparsified, labels: Any, teacher_logits: Any, teacher_tokens: Any, ratios: Sequence[float]) -> Losses:
    """Section 3.4, training: the four parts, each a mean.

    labels as F.cross_entropy takes them; teacher_logits (B, C) and teacher_tokens (B, N, D), normed, through which no
    gradient goes; ratios: the share of the patches that is to be left after each stage. Tokens are compared that are kept
    at last; where none is, that part is 0. ValueError where there are not as many ratios as stages.
    """
    if len(ratios) != len(outputs.decisions):
        raise ValueError(f"losses: a ratio for each of the {len(outputs.decisions)} stages, got {tuple(ratios)}")
    kept = raw(outputs.kept) > 0.5
    gaps = np.square(outputs.tokens - raw(teacher_tokens)).mean(-1) * kept  # (B, N)
    logits = F.distillation_loss(outputs.logits, teacher_logits)
    shares = [np.square(each.mean(1) - rho).mean() for each, rho in zip(outputs.decisions, ratios, strict=True)]
    tokens = gaps.sum() / float(max(int(kept.sum()), 1))
    return Losses(F.cross_entropy(outputs.logits, labels), tokens, logits, sum(shares[1:], shares[0]) / len(shares))


def total(parts: Losses, weights: Losses = WEIGHTS) -> Any:
    """The weighted sum of the parts, which training makes small."""
    return sum(weight * part for weight, part in zip(weights, parts, strict=True))


@dataclass(frozen=True)
class DynamicViTConfig(vit.ViTConfig):
    """ViT's, and base_rate: the share rho of the patches that goes on from each stage; pruning_loc: before which blocks the
    stages are; distill: whether training mode gives what the loss needs. global_pool stays "token"."""

    base_rate: float = 0.7
    pruning_loc: tuple[int, ...] = (3, 6, 9)
    distill: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if list(self.pruning_loc) != sorted(set(self.pruning_loc) & set(range(self.depth))) or not self.pruning_loc:
            raise ValueError(f"pruning_loc are blocks from 0 to {self.depth - 1}, in order, got {self.pruning_loc}")
        if not 0.0 < self.base_rate <= 1.0 or self.tokens[-1] < 1:
            raise ValueError(f"base_rate is a share above 0, up to 1, that leaves a patch, got {self.base_rate}")
        if self.global_pool != "token":
            raise ValueError(f'patches come and go: global_pool is "token", got {self.global_pool!r}')
        if self.embed_dim % 4:
            raise ValueError(f"the predictors halve the width twice: embed_dim is a multiple of 4, got {self.embed_dim}")

    @property
    def ratios(self) -> tuple[float, ...]:
        """The share of all patches that is left after each stage: rho, rho^2, ..."""
        return tuple(self.base_rate**j for j in range(1, len(self.pruning_loc) + 1))

    @property
    def tokens(self) -> tuple[int, ...]:
        """How many patches are left after each stage."""
        return tuple(int(self.grid[0] * self.grid[1] * ratio) for ratio in self.ratios)


def small(base_rate: float) -> DynamicViTConfig:
    """DeiT-S and a share."""
    return DynamicViTConfig(384, 12, 6, base_rate=base_rate)


DIGITS = DynamicViTConfig(64, 4, 4, patch_size=2, img_size=8, in_chans=1, num_classes=10, pruning_loc=(1, 2, 3))


@register("dynamic_vit_small_r05", small(0.5), params=22_774_414, macs=2_229_060_672)
@register("dynamic_vit_small_r06", small(0.6), params=22_774_414, macs=2_564_715_072)
@register("dynamic_vit_small", small(0.7), params=22_774_414, macs=2_980_897_728)
@register("dynamic_vit_small_r08", small(0.8), params=22_774_414, macs=3_463_053_504)
@register("dynamic_vit_small_r09", small(0.9), params=22_774_414, macs=4_040_734_080)
@register("dynamic_vit_digits", DIGITS)
def build(config: DynamicViTConfig) -> DynamicViT:
    """A DynamicViT of the given configuration."""
    return DynamicViT(config)
