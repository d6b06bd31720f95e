"""Normalisations as layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import functional as F
from ..tape import Tensor
from . import init
from .module import Module
from .parameter import Parameter

__all__ = ["BatchNorm2d", "LayerNorm"]


class LayerNorm(Module):
    """y = (x - mean) / sqrt(var + eps) * w + b over the last axes, those of normalized_shape.  Ba et al. 2016.

    var is the biased one (divided by n). Any leading axes.
    """

    def __init__(
        self, normalized_shape: int | tuple[int, ...], eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True
    ):
        super().__init__()
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.weight = Parameter(self.normalized_shape, init.ones()) if elementwise_affine else None
        self.bias = Parameter(self.normalized_shape, init.zeros()) if elementwise_affine and bias else None

    def forward(self, x: Any) -> Any:
        """(*, normalized_shape) -> the same"""
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Sizes and eps."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class BatchNorm2d(Module):
    """y = (x - mean_c) / sqrt(var_c + eps) * w_c + b_c, channel by channel.  Ioffe & Szegedy 2015, algorithms 1 and 2.

    Training uses the batch's mean and biased variance and moves the running ones: r <- (1 - momentum) r + momentum b,
    with the unbiased variance; momentum=None averages all batches. Evaluation uses the running ones.
    """

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = Parameter((num_features,), init.ones()) if affine else None
        self.bias = Parameter((num_features,), init.zeros()) if affine else None
        buffers = np.zeros(num_features, np.float32), np.ones(num_features, np.float32), np.zeros((), np.int64)
        for name, values in zip(("running_mean", "running_var", "num_batches_tracked"), buffers, strict=True):
            self.register_buffer(name, values if track_running_stats else None)

    def forward(self, x: Any) -> Any:
        """(N, num_features, H, W) -> the same"""
        count = self.num_batches_tracked if self.training else None
        share = 1.0 / (count.item() + 1) if count is not None and self.momentum is None else self.momentum or 0.0
        by_batch = self.training or self.running_mean is None
        y = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, by_batch, share, self.eps)
        if count is not None:
            count.data += 1
        return y

    def extra_repr(self) -> str:
        """Sizes and constants."""
        names = ("eps", "momentum", "affine", "track_running_stats")
        return ", ".join([str(self.num_features), *(f"{name}={getattr(self, name)}" for name in names)])
