"""torch.nn.functional's names, argument order and meaning, over the operations."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from . import ops, random
from .errors import ShapeError
from .kernels.window import axes
from .ops.elementwise import raw
from .tape import Tensor

relu = ops.activation.relu
sigmoid = ops.activation.sigmoid
tanh = ops.elementary.tanh


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
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
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


def cross_entropy(input: Any, target: Any, *, reduction: str = "mean", label_smoothing: float = 0.0) -> Any:
    """Negative log-likelihood of the classes under softmax;  input (N, C), target (N) of class numbers 0..C-1.

    label_smoothing spreads that share of the target evenly over the classes (Szegedy et al. 2016). Raises ValueError for
    a target that is no class number.
    """
    classes, numbers = input.shape[-1], np.asarray(raw(target))
    if numbers.dtype.kind not in "iu" or (numbers.size and not 0 <= numbers.min() <= numbers.max() < classes):
        came = f"{numbers.dtype}" + (f" from {numbers.min()} to {numbers.max()}" if numbers.size else "")
        raise ValueError(f"cross_entropy: targets are class numbers, integers from 0 to {classes - 1}; got {came}")
    return reduce(ops.loss.cross_entropy(input, numbers, smoothing=label_smoothing), reduction)


def reduce(losses: Any, reduction: str) -> Any:
    """The mean, the sum, or the losses themselves ("none")."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'reduction is "mean", "sum" or "none", got {reduction!r}')
    return losses if reduction == "none" else np.mean(losses) if reduction == "mean" else np.sum(losses)


def one_hot(target: Any, num_classes: int = -1) -> Tensor:
    """(*) of class numbers -> (*, num_classes) of 0 and 1; -1: as many classes as the largest number needs."""
    numbers = raw(target)
    return Tensor(np.eye(int(numbers.max()) + 1 if num_classes == -1 else num_classes, dtype=np.int64)[numbers])


# --------------------------------------------------------------------------------- images (N, C, H, W)


def _pair(name: str, value: Any) -> tuple[int, int]:
    """(height, width) from one whole number or two."""
    values = value if isinstance(value, (tuple, list)) else (value, value)
    if len(values) != 2 or not all(hasattr(v, "__index__") for v in values):
        raise ValueError(f"{name} is a whole number or a pair (height, width) of them, got {value!r}")
    return operator.index(values[0]), operator.index(values[1])


def _around(padding: Any, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]) -> Any:
    """((top, bottom), (left, right)) from a number, a pair, "valid" or "same" (as many outputs as inputs)."""
    if padding not in ("same", "valid"):
        return tuple((p, p) for p in _pair("padding", padding))
    if padding == "valid":
        return (0, 0), (0, 0)
    if stride != (1, 1):
        raise ValueError(f'padding="same" needs stride 1, got {stride}; give the padding in numbers')
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    return tuple((t // 2, t - t // 2) for t in total)


def conv2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """Cross-correlation;  input (N, C, H, W), weight (O, C / groups, R, S), bias (O) -> (N, O, P, Q).

    P = floor((H + 2 padding - dilation (R - 1) - 1) / stride) + 1. stride, padding and dilation are numbers or pairs;
    padding may also be "valid" (none) or "same" (P = H, with stride 1; of an odd sum the larger half lies behind).
    """
    kernel, step, apart = weight.shape[2:], _pair("stride", stride), _pair("dilation", dilation)
    around = _around(padding, kernel, step, apart) if len(kernel) == 2 else ((0, 0), (0, 0))
    return ops.conv.conv2d(input, weight, bias, stride=step, padding=around, dilation=apart, groups=operator.index(groups))


def unfold(input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """The windows of an image as columns;  input (N, C, H, W) -> (N, C R S, P Q)."""
    kernel, step, apart = _pair("kernel_size", kernel_size), _pair("stride", stride), _pair("dilation", dilation)
    around = _around(_pair("padding", padding), kernel, step, apart)
    cols = ops.conv.im2col(input, kernel=kernel, stride=step, padding=around, dilation=apart)
    n, p, q, r, s, c = cols.shape
    return np.reshape(np.transpose(cols, (0, 5, 3, 4, 1, 2)), (n, c * r * s, p * q))


def fold(input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """The sum of columns back where unfold took them;  input (N, C R S, P Q) -> (N, C, *output_size)."""
    kernel, step, apart = _pair("kernel_size", kernel_size), _pair("stride", stride), _pair("dilation", dilation)
    size, around = _pair("output_size", output_size), _around(_pair("padding", padding), kernel, step, apart)
    down, across = axes("fold", size, kernel, step, around, apart)
    (r, s), p, q = kernel, down.windows, across.windows
    if input.ndim != 3 or input.shape[1] % (r * s) or input.shape[2] != p * q:
        problem = f"input should be (N, C * {r} * {s}, {p} * {q}), got {tuple(input.shape)}"
        raise ShapeError("fold", problem, f"input {tuple(input.shape)}, output_size {size}, kernel_size {kernel}")
    cols = np.reshape(input, (len(input), input.shape[1] // (r * s), r, s, p, q))
    cols = np.transpose(cols, (0, 4, 5, 2, 3, 1))
    return ops.conv.col2im(cols, size=size, stride=step, padding=around, dilation=apart)


def max_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Any:
    """The largest value of each window, padding left out;  input (N, C, H, W) -> (N, C, P, Q). stride defaults to kernel_size."""
    kernel = _pair("kernel_size", kernel_size)
    step, apart = kernel if stride is None else _pair("stride", stride), _pair("dilation", dilation)
    return ops.pool.max_pool2d(
        input, kernel=kernel, stride=step, padding=_pair("padding", padding), dilation=apart, ceil_mode=bool(ceil_mode)
    )


def avg_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Any:  # fmt: skip
    """The mean of each window;  input (N, C, H, W) -> (N, C, P, Q). stride defaults to kernel_size.

    count_include_pad: zeros of the padding count as values; divisor_override divides the sums instead of a count.
    """
    kernel = _pair("kernel_size", kernel_size)
    step = kernel if stride is None else _pair("stride", stride)
    if divisor_override is not None and divisor_override == 0:
        raise ValueError("divisor_override must not be 0")
    return ops.pool.avg_pool2d(
        input, kernel=kernel, stride=step, padding=_pair("padding", padding), ceil_mode=bool(ceil_mode),
        count_include_pad=bool(count_include_pad), divisor=divisor_override,
    )  # fmt: skip


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """The means over bins that cover the image;  input (N, C, H, W) -> (N, C, P, Q). None in output_size keeps a size."""
    given = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    size = [input.shape[i - 2] if want is None and i < 2 else want for i, want in enumerate(given)]
    return ops.pool.adaptive_avg_pool2d(input, size=_pair("output_size", size))


def batch_norm(
    input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, training: bool = False,
    momentum: float = 0.1, eps: float = 1e-5,
) -> Any:  # fmt: skip
    """Normalises each channel of input (N, C, ...) to mean 0 and variance 1, then scales and shifts by weight, bias (C).

    training: by the batch's mean and biased variance, and running <- (1 - momentum) running + momentum batch in place,
    with the unbiased variance. Otherwise by running_mean and running_var. Ioffe & Szegedy 2015, algorithms 1 and 2.
    """
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError(
                "batch_norm: outside training running_mean and running_var are needed; train first, or pass training=True"
            )
        return ops.batch_norm.batch_norm_eval(input, running_mean, running_var, weight, bias, eps=eps)
    ops.batch_norm.check_channels("batch_norm", input, running_mean=running_mean, running_var=running_var)
    n = math.prod(input.shape) // max(input.shape[1], 1)
    if n < 2:
        raise ValueError(f"batch_norm: training needs more than one value in each channel, got input {tuple(input.shape)}")
    seen: list[np.ndarray] = []
    y = ops.batch_norm.batch_norm(input, weight, bias, eps=eps, seen=seen)
    _follow(running_mean, seen[0], momentum)
    _follow(running_var, seen[1] * (n / (n - 1)), momentum)
    return y


def _follow(running: Any, batch: np.ndarray, momentum: float) -> None:
    """running <- (1 - momentum) running + momentum batch, in place."""
    if running is not None:
        raw(running)[...] = (1.0 - momentum) * raw(running) + momentum * batch
    if isinstance(running, Tensor):
        running.version[0] += 1  # backward() of an evaluation that kept it notices
