"""Normalisations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops
from ..errors import ShapeError
from ..ops.elementwise import raw
from ..tape import Tensor

__all__ = [
    "add_layer_norm", "batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "rms_norm", "weight_norm",
]  # fmt: skip


def _check_normalized(operation: str, input: Any, normalized_shape: Sequence[int]) -> None:
    """Holds the last axes of the input to normalized_shape."""
    last = tuple(input.shape[input.ndim - len(normalized_shape) :])
    if not len(normalized_shape) or len(normalized_shape) > input.ndim or last != tuple(normalized_shape):
        problem = f"normalized_shape is {tuple(normalized_shape)}, but input is {tuple(input.shape)}"
        raise ShapeError(operation, problem, f"input {tuple(input.shape)}", "normalized_shape are the last axes of input")


def _by_rows(op: Any, inputs: Sequence[Any], normalized_shape: Sequence[int], parameters: Sequence[Any], eps: float) -> Any:
    """An operation on the last axis, on the last len(normalized_shape) axes as one."""
    if len(normalized_shape) == 1:
        return op(*inputs, *parameters, eps=eps)
    n = math.prod(normalized_shape)
    rows = [np.reshape(x, (*x.shape[: x.ndim - len(normalized_shape)], n)) for x in inputs]
    y = op(*rows, *(None if p is None else np.reshape(p, (-1,)) for p in parameters), eps=eps)
    return np.reshape(y, (*y.shape[:-1], *normalized_shape))


def _check_affine(operation: str, normalized_shape: Sequence[int], **parameters: Any) -> None:
    """Holds weight and bias to normalized_shape."""
    for name, p in parameters.items():
        if p is not None and tuple(p.shape) != tuple(normalized_shape):
            problem = f"{name} is {tuple(p.shape)}, but normalized_shape is {tuple(normalized_shape)}"
            raise ShapeError(operation, problem, f"{name} {tuple(p.shape)}", f"{name} has one number for each of the last axes")


def layer_norm(input: Any, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Normalises the last axes, those of normalized_shape, to mean 0 and variance 1, then scales and shifts.

    weight and bias have shape normalized_shape; ShapeError otherwise.  Ba et al. 2016.
    """
    _check_normalized("layer_norm", input, normalized_shape)
    if len(normalized_shape) > 1:
        _check_affine("layer_norm", normalized_shape, weight=weight, bias=bias)
    return _by_rows(ops.norm.layer_norm, (input,), normalized_shape, (weight, bias), eps)


def add_layer_norm(
    input: Any, residual: Any, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> tuple[Any, Any]:
    """(s, layer_norm(s)),  s = input + residual, in one pass over memory: what a branch of a Transformer and the next one share.

    input and residual have one shape; ShapeError otherwise. The rest is as in layer_norm.
    """
    if tuple(input.shape) != tuple(residual.shape):
        given = f"input {tuple(input.shape)}, residual {tuple(residual.shape)}"
        raise ShapeError("add_layer_norm", "input and residual are added: same shape", given, "expand() the smaller one")
    _check_normalized("add_layer_norm", input, normalized_shape)
    if len(normalized_shape) > 1:
        _check_affine("add_layer_norm", normalized_shape, weight=weight, bias=bias)
    both = _by_rows(ops.norm.add_layer_norm, (input, residual), normalized_shape, (weight, bias), eps)
    return both[0], both[1]


def rms_norm(input: Any, normalized_shape: Sequence[int], weight: Any = None, eps: float | None = None) -> Any:
    """Divides the last axes, those of normalized_shape, by the root of their mean square, then scales.

    eps=None is the element type's machine epsilon.  Zhang & Sennrich 2019.
    """
    _check_normalized("rms_norm", input, normalized_shape)
    if len(normalized_shape) > 1:
        _check_affine("rms_norm", normalized_shape, weight=weight)
    eps = float(np.finfo(input.dtype).eps) if eps is None else eps
    return _by_rows(ops.norm.rms_norm, (input,), normalized_shape, (weight,), eps)


def batch_norm(
    input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, training: bool = False,
    momentum: float = 0.1, eps: float = 1e-5, *, residual: Any = None, activation: str | None = None,
) -> Any:  # fmt: skip
    """Normalises each channel of input (N, C, ...) to mean 0 and variance 1, then scales and shifts by weight, bias (C).

    training: by the batch's mean and biased variance, and running <- (1 - momentum) running + momentum batch in place,
    with the unbiased variance. Otherwise by running_mean and running_var. Ioffe & Szegedy 2015, algorithms 1 and 2.

    residual, of input's shape, is added to the result, and activation="relu" cuts that off at 0, both in the same pass
    over memory: the ending of a residual block (He et al. 2016, eq. 1).
    """
    ops.batch_norm.check_activation(activation)
    last: dict[str, Any] = {"eps": eps, "activation": activation}
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError(
                "batch_norm: outside training running_mean and running_var are needed; train first, or pass training=True"
            )
        return ops.batch_norm.batch_norm_eval(input, running_mean, running_var, weight, bias, residual, **last)
    ops.batch_norm.check_channels("batch_norm", input, running_mean=running_mean, running_var=running_var)
    n = math.prod(input.shape) // max(input.shape[1], 1)
    if n < 2:
        raise ValueError(f"batch_norm: training needs more than one value in each channel, got input {tuple(input.shape)}")
    seen: list[np.ndarray] = []
    y = ops.batch_norm.batch_norm(input, weight, bias, residual, seen=seen, **last)
    _follow(running_mean, seen[0], momentum)
    _follow(running_var, seen[1] * (n / (n - 1)), momentum)
    return y


def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Normalises each group of neighbouring channels of each image, then scales and shifts by weight, bias (C).

    input is (N, C, ...), C divisible by num_groups; ShapeError otherwise.  Wu & He 2018.
    """
    ops.group_norm.check_groups(input, num_groups, weight, bias)
    if math.prod(input.shape) == num_groups:
        raise ValueError(f"group_norm: a group of {num_groups} has one value alone in input {tuple(input.shape)}")
    return ops.group_norm.group_norm(input, weight, bias, groups=num_groups, eps=eps)


def instance_norm(
    input: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None, bias: Any = None,
    use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5,
) -> Any:  # fmt: skip
    """Normalises each channel of each image of input (N, C, ...), then scales and shifts by weight, bias (C).

    use_input_stats: by the image's own mean and biased variance, and running statistics, where given, follow the mean
    over the images, with the unbiased variance. Otherwise by running_mean and running_var.  Ulyanov et al. 2016.
    """
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, eps=eps)
    ops.batch_norm.check_channels("instance_norm", input, running_mean=running_mean, running_var=running_var)
    n = math.prod(input.shape[2:])
    if n < 2:
        raise ValueError(f"instance_norm: needs more than one value in each channel of an image, got input {tuple(input.shape)}")
    seen: list[np.ndarray] = []
    y = ops.group_norm.group_norm(input, weight, bias, groups=input.shape[1], eps=eps, seen=seen)
    _follow(running_mean, seen[0].mean(axis=0), momentum)
    _follow(running_var, seen[1].mean(axis=0) * (n / (n - 1)), momentum)
    return y


def local_response_norm(input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    """x_c / (k + alpha / size sum x_j^2)^beta, the sum over the `size` channels around c.  Krizhevsky et al. 2012, 3.3.

    input is (N, C, ...) with at least 3 axes.
    """
    if input.ndim < 3:
        raise ShapeError("local_response_norm", f"input should have at least 3 axes (N, C, ...), got {input.ndim}", "")
    if size < 1:
        raise ValueError(f"local_response_norm: size counts channels, at least 1, got {size}")
    return ops.norm.local_response_norm(input, size=size, alpha=alpha, beta=beta, k=k)


def weight_norm(v: Any, g: Any, dim: int | None = 0) -> Any:
    """g v / |v|, |v| the 2-norm over all axes but dim (over all where dim is None); g has size 1 at those axes.

    Salimans & Kingma 2016, eq. 2; torch._weight_norm.
    """
    return ops.weight_norm.weight_norm(v, g, dim=dim)


def _follow(running: Any, batch: np.ndarray, momentum: float) -> None:
    """running <- (1 - momentum) running + momentum batch, in place."""
    if running is not None:
        raw(running)[...] = (1.0 - momentum) * raw(running) + momentum * batch
    if isinstance(running, Tensor):
        running.version[0] += 1  # backward() of an evaluation that kept it notices
