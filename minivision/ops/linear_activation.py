"""A linear layer and its activation function in one pass over memory."""

from __future__ import annotations

from .. import kernels
from ..op import op
from .activation import gelu, gelu_tanh, silu
from .matmul import linear
from .piecewise import relu

ACTIVATIONS = {"relu": relu, "gelu": gelu, "gelu_tanh": gelu_tanh, "silu": silu}


def _linear_activation(x, weight, bias, *, activation):
    """y = f(z),  z = x W^T + b;  f: relu, gelu, gelu_tanh or silu

    shapes: x(*, I), weight(O, I), bias(O) -> y(*, O);  keeps: x, W, z (y for relu)
    """
    z = linear(x, weight, bias)
    y = ACTIVATIONS[activation](z)
    return y, (x, weight, y if activation == "relu" else z, bias is not None)


def _linear_activation_vjp(dy, kept, *, needs, activation):
    """dz = dy f'(z);  dx = dz W,  dW = dz^T x,  db = sum_rows dz"""
    x, weight, z, has_bias = kept
    dz = ACTIVATIONS[activation].vjp(dy, (z,))
    return linear.vjp(dz, (x, weight, has_bias), needs=needs)


linear_activation = op("linear_activation", _linear_activation, _linear_activation_vjp, kernel=kernels.linear_activation)
