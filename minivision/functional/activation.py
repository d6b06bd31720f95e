"""Activations, softmax, gated linear units. Any shape unless said otherwise.

`inplace` is taken where torch takes it and changes nothing: the result is new, the argument stays as it was.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import ops, random
from ..ops.elementwise import raw

__all__ = [
    "celu", "elu", "gelu", "glu", "gumbel_softmax", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "log_softmax",
    "logsigmoid", "mish", "prelu", "quick_gelu", "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softmin", "softplus",
    "softsign", "tanh", "threshold",
]  # fmt: skip

SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946

sigmoid = ops.activation.sigmoid
tanh = ops.trigonometric.tanh


def relu(input: Any, inplace: bool = False) -> Any:
    """max(x, 0).  Nair & Hinton 2010."""
    return ops.piecewise.relu(input)


def relu6(input: Any, inplace: bool = False) -> Any:
    """min(max(x, 0), 6).  Howard et al. 2017."""
    return ops.piecewise.hardtanh(input, min=0.0, max=6.0)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """x held between min_val and max_val. Raises ValueError unless min_val < max_val."""
    if not min_val < max_val:
        raise ValueError(f"hardtanh: min_val must be below max_val, got {min_val} and {max_val}")
    return ops.piecewise.hardtanh(input, min=min_val, max=max_val)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x where x > 0, negative_slope x elsewhere.  Maas et al. 2013."""
    return ops.piecewise.leaky_relu(input, negative_slope=negative_slope)


def prelu(input: Any, weight: Any) -> Any:
    """x where x > 0, w x elsewhere;  input (N, C, *), weight (C) or (1).  He et al. 2015, eq. 1."""
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.ndim > 1 or math.prod(weight.shape) not in (1, channels):
        came = f"input {tuple(input.shape)}, weight {tuple(weight.shape)}"
        raise ValueError(f"prelu: the weight has one element, or one for each of {channels} channels (axis 1); got {came}")
    slopes = np.reshape(weight, (-1,) + (1,) * max(input.ndim - 2, 0))
    return ops.elementwise.where(raw(input) > 0, input, np.reshape(slopes, ()) * input if input.ndim == 0 else slopes * input)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where x > 0, alpha (exp(x) - 1) elsewhere.  Clevert et al. 2016."""
    return ops.activation.elu(input, alpha=alpha)


def selu(input: Any, inplace: bool = False) -> Any:
    """1.0507 elu(x, 1.6733), which keeps mean 0 and variance 1.  Klambauer et al. 2017, eq. 2."""
    return SELU_SCALE * ops.activation.elu(input, alpha=SELU_ALPHA)


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where x > 0, alpha (exp(x / alpha) - 1) elsewhere; alpha > 0.  Barron 2017."""
    if not alpha > 0:
        raise ValueError(f"celu: alpha must be positive, got {alpha}")
    return alpha * ops.activation.elu(input / alpha)


def gelu(input: Any, approximate: str = "none") -> Any:
    """x Phi(x); approximate="tanh" for the paper's tanh form.  Hendrycks & Gimpel 2016."""
    if approximate not in ("none", "tanh"):
        raise ValueError(f'approximate is "none" or "tanh", got {approximate!r}')
    return ops.activation.gelu(input) if approximate == "none" else ops.activation.gelu_tanh(input)


def quick_gelu(input: Any) -> Any:
    """x sigmoid(1.702 x), the other approximation of Hendrycks & Gimpel 2016; CLIP's activation."""
    return ops.activation.silu(input, beta=1.702)


def silu(input: Any, inplace: bool = False) -> Any:
    """x sigmoid(x).  Elfwing et al. 2018; as swish, Ramachandran et al. 2017."""
    return ops.activation.silu(input)


def mish(input: Any, inplace: bool = False) -> Any:
    """x tanh(log(1 + exp(x))).  Misra 2019."""
    return ops.activation.mish(input)


def hardswish(input: Any, inplace: bool = False) -> Any:
    """x relu6(x + 3) / 6.  Howard et al. 2019, section 5.2."""
    return ops.piecewise.hardswish(input)


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """relu6(x + 3) / 6.  Howard et al. 2019, section 5.2."""
    return ops.piecewise.hardsigmoid(input)


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(beta x)) / beta, and x itself where beta x > threshold.  Dugas et al. 2001."""
    return ops.activation.softplus(input, beta=beta, threshold=threshold)


def logsigmoid(input: Any) -> Any:
    """log(1 / (1 + exp(-x)))"""
    return -ops.activation.softplus(-input, threshold=math.inf)


def softsign(input: Any) -> Any:
    """x / (1 + |x|)"""
    return input / (1.0 + abs(input))


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """x where x > threshold, value elsewhere."""
    return ops.elementwise.where(raw(input) <= threshold, value, input)


def glu(input: Any, dim: int = -1) -> Any:
    """a sigmoid(b), a and b the halves of the input along dim.  Dauphin et al. 2017, eq. 1."""
    size = input.shape[dim]
    if size % 2:
        raise ValueError(f"glu: axis {dim} must have an even size to be halved, got {tuple(input.shape)}")
    front, half = (slice(None),) * (dim % input.ndim), size // 2
    first, second = (*front, slice(half)), (*front, slice(half, None))
    return input[first] * sigmoid(input[second])


def softmax(input: Any, dim: int = -1) -> Any:
    """exp(x) / sum exp(x) along dim."""
    return ops.softmax.softmax(input, axis=dim)


def log_softmax(input: Any, dim: int = -1) -> Any:
    """x - log sum exp(x) along dim."""
    return ops.softmax.log_softmax(input, axis=dim)


def softmin(input: Any, dim: int = -1) -> Any:
    """exp(-x) / sum exp(-x) along dim."""
    return softmax(-input, dim)


def gumbel_softmax(logits: Any, tau: float = 1.0, hard: bool = False, dim: int = -1) -> Any:
    """softmax((logits + g) / tau) along dim, g drawn from the Gumbel distribution.  Jang et al. 2017, eq. 2.

    hard: 1 at the largest and 0 elsewhere, with the gradient of the soft one (straight-through; section 2.2).
    """
    if not tau > 0:
        raise ValueError(f"gumbel_softmax: the temperature tau must be positive, got {tau}")
    noise = random.generator().gumbel(size=logits.shape).astype(logits.dtype)
    soft = softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    values = raw(soft)
    chosen = np.zeros_like(values)
    np.put_along_axis(chosen, np.expand_dims(np.argmax(values, axis=dim), dim), 1.0, axis=dim)
    return chosen + (soft - values)
