"""Linear and bilinear maps, and vectors of length 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..errors import ShapeError
from ..ops.linear_activation import ACTIVATIONS, linear_activation
from ..ops.methods.norms import vector_norm
from ..ops.methods.products import matmul

__all__ = ["bilinear", "linear", "normalize"]


def linear(input: Any, weight: Any, bias: Any = None, activation: str | None = None) -> Any:
    """y = x W^T + b;  input (*, I), weight (O, I), bias (O) -> (*, O); or weight (I), bias () -> (*).

    activation: "relu", "gelu", "gelu_tanh" or "silu" of it in the same pass over memory (weight (O, I) alone); ValueError
    for any other.
    """
    if activation is not None:
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation is None or one of {', '.join(ACTIVATIONS)}; got {activation!r}")
        return linear_activation(input, weight, bias, activation=activation)
    if weight.ndim == 1:
        y = matmul(input, weight)
        return y if bias is None else y + bias
    return ops.matmul.linear(input, weight, bias)


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """y_o = x1^T W_o x2 + b_o;  input1 (*, I), input2 (*, J), weight (O, I, J), bias (O) -> (*, O)."""
    fits = weight.ndim == 3 and (input1.shape[-1:], input2.shape[-1:]) == (weight.shape[1:2], weight.shape[2:])
    if not fits or input1.shape[:-1] != input2.shape[:-1]:
        shapes = f"input1 {tuple(input1.shape)}, input2 {tuple(input2.shape)}, weight {tuple(weight.shape)}"
        raise ShapeError("bilinear", "the shapes do not fit", shapes, "expected input1(*, I), input2(*, J), weight(O, I, J)")
    y = ops.einsum.einsum("...i,oij,...j->...o", input1, weight, input2)
    return y if bias is None else y + bias


def normalize(input: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Any:
    """x / max(|x|_p, eps): vectors along dim scaled to length 1. Any shape."""
    return input / np.maximum(vector_norm(input, p, dim, keepdim=True), eps)
