"""torch.nn.functional's names, argument order and meaning, over the operations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import ops, random
from .ops.elementwise import raw
from .tape import Tensor

relu = ops.activation.relu
sigmoid = ops.activation.sigmoid
tanh = ops.elementwise.tanh


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """y = x W^T + b;  input (*, I), weight (O, I), bias (O) -> (*, O)."""
    return ops.matmul.linear(input, weight, bias)


def gelu(input: Any, approximate: str = "none") -> Any:
    """x Phi(x); approximate="tanh" for the paper's tanh form. Any shape."""
    if approximate not in ("none", "tanh"):
        raise ValueError(f'approximate is "none" or "tanh", got {approximate!r}')
    return ops.activation.gelu(input) if approximate == "none" else ops.activation.gelu_tanh(input)


def silu(input: Any) -> Any:
    """x sigmoid(x). Any shape."""
    return ops.activation.silu(input)


def softmax(input: Any, dim: int = -1) -> Any:
    """exp(x) / sum exp(x) along dim. Any shape."""
    return ops.softmax.softmax(input, axis=dim)


def log_softmax(input: Any, dim: int = -1) -> Any:
    """x - log sum exp(x) along dim. Any shape."""
    return ops.softmax.log_softmax(input, axis=dim)


def layer_norm(input: Any, normalized_shape: tuple[int, ...], weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Normalises the last len(normalized_shape) axes to mean 0 and variance 1, then scales and shifts."""
    if len(normalized_shape) == 1:
        return ops.norm.layer_norm(input, weight, bias, eps=eps)
    lead = input.shape[: input.ndim - len(normalized_shape)]
    flat = [None if p is None else np.reshape(p, (-1,)) for p in (weight, bias)]
    return np.reshape(ops.norm.layer_norm(np.reshape(input, (*lead, -1)), *flat, eps=eps), input.shape)


def scaled_dot_product_attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None
) -> Any:
    """softmax(scale q k^T + mask) v;  query (..., M, D), key (..., N, D), value (..., N, E) -> (..., M, E).

    attn_mask broadcasts to (..., M, N): True where a query may see a key, or a float that is added. scale defaults to
    1 / sqrt(D). Vaswani et al. 2017, eq. 1.
    """
    scale = 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale
    if dropout_p > 0.0:  # dropping weights needs them: the plain product
        weights = softmax(ops.attention._scores(query, key, attn_mask, is_causal, scale))
        return ops.matmul.matmul(dropout(weights, dropout_p), value)
    return ops.attention.attention(query, key, value, attn_mask, causal=is_causal, scale=scale)


def dropout(input: Any, p: float = 0.5, training: bool = True) -> Any:
    """Zeroes elements with probability p and scales the others by 1 / (1 - p); nothing where not training."""
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"the dropout probability lies in [0, 1], got {p}")
    if not training or p == 0.0:
        return input
    keep = random.generator().random(input.shape, np.float32) >= p
    return input * (keep.astype(input.dtype) * (1.0 / (1.0 - p) if p < 1.0 else 0.0))


def cross_entropy(input: Any, target: Any, reduction: str = "mean", label_smoothing: float = 0.0) -> Any:
    """Negative log-likelihood of the classes under softmax;  input (N, C), target (N) of class numbers."""
    losses = ops.loss.cross_entropy(input, raw(target), smoothing=label_smoothing)
    return reduce(losses, reduction)


def reduce(losses: Any, reduction: str) -> Any:
    """The mean, the sum, or the losses themselves ("none")."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'reduction is "mean", "sum" or "none", got {reduction!r}')
    return losses if reduction == "none" else np.mean(losses) if reduction == "mean" else np.sum(losses)


def one_hot(target: Any, num_classes: int) -> Tensor:
    """(*) of class numbers -> (*, num_classes) of 0 and 1."""
    return Tensor(np.eye(num_classes, dtype=np.int64)[raw(target)])
