"""Linear maps and tables."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import functional as F
from ..ops.methods.arrangement import flatten, unflatten
from . import init
from .module import Module
from .parameter import Parameter

__all__ = ["Bilinear", "Embedding", "Flatten", "Identity", "Linear", "Unflatten"]


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

    def forward(self, x: Any, *, activation: str | None = None) -> Any:
        """(*, in_features) -> (*, out_features); with activation="gelu" and others of F.linear in the same pass over memory"""
        return F.linear(x, self.weight, self.bias, activation)

    def extra_repr(self) -> str:
        """The sizes."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Bilinear(Module):
    """y_o = x1^T W_o x2 + b_o;  x1 (*, in1_features), x2 (*, in2_features) -> (*, out_features).

    Weight (out, in1, in2) and bias begin as U(-s, s), s = 1 / sqrt(in1_features).
    """

    def __init__(self, in1_features: int, in2_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.in1_features, self.in2_features, self.out_features = in1_features, in2_features, out_features
        s = 1.0 / math.sqrt(max(in1_features, 1))
        self.weight = Parameter((out_features, in1_features, in2_features), init.uniform(-s, s))
        self.bias = Parameter((out_features,), init.uniform(-s, s)) if bias else None

    def forward(self, x1: Any, x2: Any) -> Any:
        """(*, in1_features), (*, in2_features) -> (*, out_features)"""
        return F.bilinear(x1, x2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        sizes = f"in1_features={self.in1_features}, in2_features={self.in2_features}, out_features={self.out_features}"
        return f"{sizes}, bias={self.bias is not None}"


class Embedding(Module):
    """y = weight[x];  x (*) of whole numbers below num_embeddings -> (*, embedding_dim).  The weight begins as N(0, 1).

    The row padding_idx begins as 0 and gets no gradient.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None) -> None:
        super().__init__()
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(f"padding_idx {padding_idx} does not lie within {num_embeddings} embeddings")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = padding_idx if padding_idx is None else padding_idx % num_embeddings
        self.weight = Parameter((num_embeddings, embedding_dim), self._rule)

    def _rule(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """N(0, 1), but for the padding row."""
        values = init.normal()(rng, shape)
        if self.padding_idx is not None:
            values[self.padding_idx] = 0.0
        return values

    @classmethod
    def from_pretrained(cls, embeddings: Any, freeze: bool = True, padding_idx: int | None = None) -> Embedding:
        """A layer with these vectors (num_embeddings, embedding_dim), not to be learnt where they are frozen."""
        rows, width = embeddings.shape
        layer = cls(rows, width, padding_idx)
        layer.weight = Parameter(embeddings, requires_grad=not freeze)
        return layer

    def forward(self, x: Any) -> Any:
        """(*) -> (*, embedding_dim)"""
        return F.embedding(x, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """The sizes."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


class Flatten(Module):
    """The axes from start_dim to end_dim as one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Any) -> Any:
        """(N, C, H, W) -> (N, C H W) by default"""
        return flatten(x, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """The axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """One axis as several of these sizes."""

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x: Any) -> Any:
        """(N, C H W) -> (N, C, H, W) for dim 1 and sizes (C, H, W)"""
        return unflatten(x, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        """The axis and the sizes."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
