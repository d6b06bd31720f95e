"""Normalisations as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import functional as F
from ..errors import ShapeError
from ..tape import Tensor
from . import init
from .module import Module
from .parameter import Parameter

__all__ = [
    "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "GroupNorm", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "LayerNorm",
    "LayerNorm2d", "LocalResponseNorm", "RMSNorm",
]  # fmt: skip


def _sizes(normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    return tuple(normalized_shape) if isinstance(normalized_shape, Sequence) else (int(normalized_shape),)


class LayerNorm(Module):
    """y = (x - mean) / sqrt(var + eps) * w + b over the last axes, those of normalized_shape.  Ba et al. 2016.

    var is the biased one (divided by n). Any leading axes.
    """

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True
    ):
        super().__init__()
        self.normalized_shape = _sizes(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.weight = Parameter(self.normalized_shape, init.ones()) if elementwise_affine else None
        self.bias = Parameter(self.normalized_shape, init.zeros()) if elementwise_affine and bias else None

    def forward(self, x: Any) -> Any:
        """(*, normalized_shape) -> the same"""
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Sizes and eps."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class LayerNorm2d(LayerNorm):
    """LayerNorm over the channels of images (N, C, H, W), pixel by pixel, as ConvNeXt has it (Liu et al. 2022)."""

    def __init__(self, num_channels: int, eps: float = 1e-6, affine: bool = True) -> None:
        super().__init__(num_channels, eps, affine)

    def forward(self, x: Any) -> Any:
        """(N, num_channels, H, W) -> the same"""
        last = np.transpose(x, (0, 2, 3, 1))  # (N, H, W, C): no copy where memory already has the channels last
        return np.transpose(super().forward(last), (0, 3, 1, 2))


class RMSNorm(Module):
    """y = x / sqrt(mean x^2 + eps) * w over the last axes, those of normalized_shape.  Zhang & Sennrich 2019.

    eps=None is the element type's machine epsilon.
    """

    def __init__(self, normalized_shape: int | Sequence[int], eps: float | None = None, elementwise_affine: bool = True) -> None:
        super().__init__()
        self.normalized_shape = _sizes(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.weight = Parameter(self.normalized_shape, init.ones()) if elementwise_affine else None

    def forward(self, x: Any) -> Any:
        """(*, normalized_shape) -> the same"""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """Sizes and eps."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """y = (x - mean) / sqrt(var + eps) * w_c + b_c: each image alone, num_groups groups of channels.  Wu & He 2018."""

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(f"GroupNorm: {num_groups} groups do not divide {num_channels} channels")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self.weight = Parameter((num_channels,), init.ones()) if affine else None
        self.bias = Parameter((num_channels,), init.zeros()) if affine else None

    def forward(self, x: Any) -> Any:
        """(N, num_channels, ...) -> the same"""
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Sizes and eps."""
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class LocalResponseNorm(Module):
    """y_c = x_c / (k + alpha / size * sum of x_j^2 over `size` channels around c)^beta.  Krizhevsky et al. 2012, 3.3."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Any) -> Any:
        """(N, C, ...) -> the same"""
        return F.local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """Constants."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class _Channels(Module):
    """Weight, bias and running statistics of each channel, of inputs with certain numbers of axes."""

    axes: tuple[int, ...]
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(self, num_features: int, eps: float, momentum: float | None, affine: bool, track_running_stats: bool) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = Parameter((num_features,), init.ones()) if affine else None
        self.bias = Parameter((num_features,), init.zeros()) if affine else None
        buffers = np.zeros(num_features, np.float32), np.ones(num_features, np.float32), np.zeros((), np.int64)
        for name, values in zip(("running_mean", "running_var", "num_batches_tracked"), buffers, strict=True):
            self.register_buffer(name, values if track_running_stats else None)

    def _check(self, x: Any) -> None:
        if x.ndim not in self.axes:
            wanted = " or ".join(map(str, self.axes))
            raise ShapeError(type(self).__name__, f"x should have {wanted} axes, got {x.ndim}", f"x {tuple(x.shape)}")

    def _share(self) -> float:
        """The batch's share of the running statistics: momentum, or 1 / n for the mean of all n batches."""
        count = self.num_batches_tracked if self.training else None
        return 1.0 / (count.item() + 1) if count is not None and self.momentum is None else self.momentum or 0.0

    def _count(self) -> None:
        """One batch more, once it went through."""
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.data += 1

    def extra_repr(self) -> str:
        """Sizes and constants."""
        names = ("eps", "momentum", "affine", "track_running_stats")
        return ", ".join([str(self.num_features), *(f"{name}={getattr(self, name)}" for name in names)])


class _BatchNorm(_Channels):
    """y = (x - mean_c) / sqrt(var_c + eps) * w_c + b_c, channel by channel.  Ioffe & Szegedy 2015, algorithms 1 and 2.

    Training uses the batch's mean and biased variance and moves the running ones: r <- (1 - momentum) r + momentum b,
    with the unbiased variance; momentum=None averages all batches. Evaluation uses the running ones.
    """

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats)

    def forward(self, x: Any, *, residual: Any = None, activation: str | None = None) -> Any:
        """(N, num_features, ...) -> the same; with a residual added, or activation="relu", in the same pass over memory"""
        self._check(x)
        by_batch = self.training or self.running_mean is None
        y = F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, by_batch, self._share(), self.eps,
            residual=residual, activation=activation,
        )  # fmt: skip
        self._count()
        return y


class BatchNorm1d(_BatchNorm):
    __doc__, axes = _BatchNorm.__doc__, (2, 3)


class BatchNorm2d(_BatchNorm):
    __doc__, axes = _BatchNorm.__doc__, (4,)


class BatchNorm3d(_BatchNorm):
    __doc__, axes = _BatchNorm.__doc__, (5,)


class _InstanceNorm(_Channels):
    """y = (x - mean) / sqrt(var + eps) * w_c + b_c, each channel of each image alone.  Ulyanov et al. 2016.

    With track_running_stats, evaluation uses running statistics, as in batch norm. The axis of the images may be absent.
    """

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
        track_running_stats: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats)

    def forward(self, x: Any) -> Any:
        """(N, num_features, ...) or (num_features, ...) -> the same"""
        self._check(x)
        by_image = self.training or self.running_mean is None
        arguments = self.running_mean, self.running_var, self.weight, self.bias, by_image, self.momentum or 0.0, self.eps
        if x.ndim == min(self.axes):  # one image
            return F.instance_norm(x[None], *arguments)[0]
        return F.instance_norm(x, *arguments)


class InstanceNorm1d(_InstanceNorm):
    __doc__, axes = _InstanceNorm.__doc__, (2, 3)


class InstanceNorm2d(_InstanceNorm):
    __doc__, axes = _InstanceNorm.__doc__, (3, 4)


class InstanceNorm3d(_InstanceNorm):
    __doc__, axes = _InstanceNorm.__doc__, (4, 5)
