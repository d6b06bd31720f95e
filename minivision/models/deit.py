"""Training data-efficient image transformers & distillation through attention.

Touvron, Cord, Douze, Massa, Sablayrolles, Jégou. ICML 2021, arXiv 2012.12877.

A vision transformer that has only ImageNet to learn from takes a second answer to every image, that of a convolutional
teacher. A distillation token stands beside the class token and asks the patches for it: each token has its own head, one
learns the labels and the other what the teacher says, and together they are better than either.

Names and keys are timm's. DeiT without the token is ViT (vit.py). Deviations, as in those weights: the two heads' logits are
averaged, where section 4 adds their softmax. The soft loss divides its divergence by the number of images, as eq. 2 says;
the authors' code divides it by that of classes too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import functional as F
from .. import nn
from ..errors import ShapeError
from ..ops.elementwise import raw
from . import vit
from ._backbone import initialise
from ._registry import register


class DistilledVisionTransformer(vit.VisionTransformer):
    """Section 4: images (B, C, H, W) -> logits (B, num_classes), the mean of both heads.

    Where the configuration says distilled_training, in training mode: both heads' logits, that of the class token first.
    """

    prefix: ClassVar[int] = 2  # the class and the distillation token

    def __init__(self, config: DeiTConfig) -> None:
        super().__init__(config)
        self.config: DeiTConfig = config
        D, N = config.embed_dim, config.grid[0] * config.grid[1]
        self.pos_embed = nn.Parameter((1, self.prefix + N, D), nn.init.trunc_normal(std=0.02))
        self.dist_token = nn.Parameter((1, 1, D), nn.init.trunc_normal(std=0.02))
        self.head_dist = nn.Linear(D, config.num_classes) if config.num_classes else nn.Identity()
        initialise(self.head_dist)

    def embed(self, x: Any) -> Any:
        """z_0 = [x_class; x_distill; x_p^1 E; ...; x_p^N E] + E_pos.  (B, C, H, W) -> (B, 2 + N, D)"""
        patches = self.patch_embed(x)  # (B, N, D)
        first = [token.expand(patches.shape[0], -1, -1) for token in (self.cls_token, self.dist_token)]  # 2 x (B, 1, D)
        return np.concatenate([*first, patches], axis=1) + self.pos_embed  # (B, 2 + N, D)

    def forward_head(self, x: Any, pre_logits: bool = False) -> Any:
        """Section 4, "joint classifiers".  (B, 2 + N, D) -> (B, num_classes), or in distilled training two of them

        pre_logits, or a model without classes: (B, D), the mean of the two tokens.
        """
        tokens = self.head_drop(x[:, 0]), self.head_drop(x[:, 1])  # 2 x (B, D)
        if pre_logits:
            return 0.5 * (tokens[0] + tokens[1])
        both = self.head(tokens[0]), self.head_dist(tokens[1])
        return both if self.training and self.config.distilled_training else 0.5 * (both[0] + both[1])


def soft_distillation_loss(
    logits: Any, labels: Any, teacher_logits: Any, tau: float = 3.0, lam: float = 0.1, label_smoothing: float = 0.0
) -> Any:
    """Eq. 2: (1 - lam) CE(Z_class, y) + lam tau^2 KL(softmax(Z_t / tau) || softmax(Z_dist / tau)), a mean over the images.

    logits: those of both heads, (B, C) each, or (B, C) of a student that has one; labels as F.cross_entropy takes them, with
    label_smoothing; teacher_logits Z_t (B, C), through which no gradient goes. ShapeError where the shapes differ;
    ValueError for a temperature tau that is not above 0 or a share lam outside 0..1.
    """
    by_class, by_teacher = _both("soft_distillation_loss", logits, teacher_logits, lam)
    taught = F.distillation_loss(by_teacher, teacher_logits, tau)
    return (1.0 - lam) * F.cross_entropy(by_class, labels, label_smoothing=label_smoothing) + lam * taught


def hard_distillation_loss(
    logits: Any, labels: Any, teacher_logits: Any, lam: float = 0.5, label_smoothing: float = 0.0
) -> Any:  # fmt: skip
    """Eq. 3: (1 - lam) CE(Z_class, y) + lam CE(Z_dist, argmax_c Z_t(c)); the paper's lam is 1/2.

    Shapes and errors as in soft_distillation_loss. The teacher's decision is not smoothed.
    """
    by_class, by_teacher = _both("hard_distillation_loss", logits, teacher_logits, lam)
    decided = F.cross_entropy(by_teacher, np.argmax(raw(teacher_logits), axis=-1))
    return (1.0 - lam) * F.cross_entropy(by_class, labels, label_smoothing=label_smoothing) + lam * decided


def _both(name: str, logits: Any, teacher_logits: Any, lam: float) -> tuple[Any, Any]:
    """The logits for the label and those for the teacher, after the arguments are checked."""
    if not 0.0 <= lam <= 1.0:
        raise ValueError(f"{name}: lam is the teacher's share of the loss, from 0 to 1, got {lam}")
    pair = tuple(logits) if isinstance(logits, Sequence) else (logits, logits)
    if len(pair) != 2:
        raise ValueError(f"{name}: logits are those of two heads, or of one, got {len(pair)}")
    for each in pair:
        if tuple(each.shape) != tuple(teacher_logits.shape):
            problem = f"a student's logits are {tuple(each.shape)}, its teacher's {tuple(teacher_logits.shape)}"
            hint = "student and teacher answer the same images with the same classes"
            raise ShapeError(name, problem, f"logits {tuple(each.shape)}, teacher_logits {tuple(teacher_logits.shape)}", hint)
    return pair[0], pair[1]


@dataclass(frozen=True)
class DeiTConfig(vit.ViTConfig):
    """ViT's, and distilled_training: whether training mode gives both heads' logits, as for distillation; if not, their mean.

    global_pool stays "token": ValueError for another.
    """

    distilled_training: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.global_pool != "token":
            raise ValueError(f'the heads read the two tokens: global_pool is "token", got {self.global_pool!r}')


DIGITS = DeiTConfig(64, 4, 4, patch_size=2, img_size=8, in_chans=1, num_classes=10)


@register("deit_tiny_distilled_patch16_224", DeiTConfig(192, 12, 3), params=5_910_800, macs=1_261_003_776)
@register("deit_small_distilled_patch16_224", DeiTConfig(384, 12, 6), params=22_436_432, macs=4_624_140_288)
@register("deit_base_distilled_patch16_224", DeiTConfig(768, 12, 12), params=87_338_192, macs=17_656_811_520)
@register("deit_base_distilled_patch16_384", DeiTConfig(768, 12, 12, img_size=384), params=87_630_032, macs=55_591_342_080)
@register("deit_digits", DIGITS)
def build(config: DeiTConfig) -> DistilledVisionTransformer:
    """A DeiT of the given configuration."""
    return DistilledVisionTransformer(config)
