"""The layers that models share, with torch.nn's names, arguments and defaults."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import functional as F
from .. import ops, random
from ..ops.shape import plain_index
from . import init
from .module import Module
from .parameter import Parameter


class Identity(Module):
    """y = x; takes and ignores any arguments when it is made."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        """x itself."""
        return x


class Linear(Module):
    """y = x W^T + b;  x (*, in_features) -> (*, out_features).  Weight and bias begin as U(-s, s), s = 1 / sqrt(in_features)."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        s = 1.0 / math.sqrt(max(in_features, 1))
        self.weight = Parameter((out_features, in_features), init.uniform(-s, s))
        self.bias = Parameter((out_features,), init.uniform(-s, s)) if bias else None

    def forward(self, x: Any) -> Any:
        """(*, in_features) -> (*, out_features)"""
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Embedding(Module):
    """y = weight[x];  x (*) of whole numbers below num_embeddings -> (*, embedding_dim).  The weight begins as N(0, 1)."""

    def __init__(self, num_embeddings: int, embedding_dim: int) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.weight = Parameter((num_embeddings, embedding_dim), init.normal())

    def forward(self, x: Any) -> Any:
        """(*) -> (*, embedding_dim)"""
        return ops.shape.getitem(self.weight, index=plain_index(x))

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.num_embeddings}, {self.embedding_dim}"


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


class Dropout(Module):
    """In training, zeroes each element with probability p and scales the others by 1 / (1 - p).  Srivastava et al. 2014."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = _probability(p)

    def forward(self, x: Any) -> Any:
        """Any shape."""
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"


class DropPath(Module):
    """In training, zeroes a whole sample with probability drop_prob and scales the others by 1 / (1 - drop_prob).

    Before a residual sum this skips the branch: stochastic depth. Huang et al. 2016, section 3.
    """

    def __init__(self, drop_prob: float = 0.0) -> None:
        super().__init__()
        self.drop_prob = _probability(drop_prob)

    def forward(self, x: Any) -> Any:
        """x (N, *) -> the same"""
        if not self.training or self.drop_prob == 0.0:
            return x
        keep = 1.0 - self.drop_prob
        kept = random.generator().random((x.shape[0],) + (1,) * (x.ndim - 1)) >= self.drop_prob
        return x * (kept / max(keep, np.finfo(np.float64).tiny)).astype(x.dtype)

    def extra_repr(self) -> str:
        """The probability."""
        return f"drop_prob={self.drop_prob:.3g}"


def _probability(p: float) -> float:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"a probability lies in [0, 1], got {p}")
    return p


class GELU(Module):
    """y = x Phi(x); approximate="tanh" for the paper's tanh form.  Hendrycks & Gimpel 2016."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, x: Any) -> Any:
        """Any shape."""
        return F.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        """The form."""
        return f"approximate={self.approximate!r}"


class ReLU(Module):
    """y = max(x, 0)"""

    def forward(self, x: Any) -> Any:
        """Any shape."""
        return F.relu(x)


class SiLU(Module):
    """y = x sigmoid(x)"""

    def forward(self, x: Any) -> Any:
        """Any shape."""
        return F.silu(x)


class Sigmoid(Module):
    """y = 1 / (1 + exp(-x))"""

    def forward(self, x: Any) -> Any:
        """Any shape."""
        return F.sigmoid(x)


class Tanh(Module):
    """y = tanh(x)"""

    def forward(self, x: Any) -> Any:
        """Any shape."""
        return F.tanh(x)


class Softmax(Module):
    """y = exp(x) / sum exp(x) along axis dim."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Any) -> Any:
        """Any shape."""
        return F.softmax(x, self.dim)

    def extra_repr(self) -> str:
        """The axis."""
        return f"dim={self.dim}"


class Flatten(Module):
    """The axes from start_dim to end_dim as one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Any) -> Any:
        """(N, C, H, W) -> (N, C H W) by default"""
        return x.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """The axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
