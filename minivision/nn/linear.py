"""Linear maps and tables."""

from __future__ import annotations

import math
from typing import Any

from .. import functional as F
from .. import ops
from ..ops.shape import plain_index
from . import init
from .module import Module
from .parameter import Parameter

__all__ = ["Embedding", "Flatten", "Identity", "Linear"]


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
