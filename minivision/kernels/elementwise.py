"""Functions of one argument, element by element, on csrc/elementwise.inc.c."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._library import Kernel, function, get_num_threads, pointer, takes

# The order of `enum pointwise` in csrc/elementwise.inc.c.
FUNCTIONS = (
    "relu", "leaky_relu", "hardtanh", "hardsigmoid", "hardswish", "sigmoid", "tanh", "silu", "gelu", "gelu_tanh", "elu",
    "softplus", "mish",
)  # fmt: skip


def _dense(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x without gaps, the axes in memory in the order that they have (a copy only where it has gaps), and a result like it."""
    y = np.empty_like(x)
    return (x if x.strides == y.strides else x.copy("K")), y


def _like(x: np.ndarray, other: np.ndarray) -> np.ndarray:
    """x with its axes in memory as in the dense array `other`: itself, or a copy."""
    if x.strides == other.strides:
        return x
    copy = np.empty_like(other)
    copy[...] = x
    return copy


def _run(name: str, x: np.ndarray, dy: np.ndarray | None, settings: Any) -> np.ndarray:
    """f(x), or dy f'"""
    x, y = _dense(x)
    dy = dy if dy is None else _like(dy, x)
    a, b = (*settings, 0.0, 0.0)[:2]
    arrays = pointer(dy), pointer(x), a, b, pointer(y)
    function("pointwise", x.dtype)(FUNCTIONS.index(name), x.size, *arrays, get_num_threads())
    return y


def slope(name: str, kept: np.ndarray, dy: np.ndarray, settings: Any = ()) -> np.ndarray:
    """dy f' of what the forward pass kept."""
    return _run(name, kept, dy, settings)


def pointwise(name: str, keeps: str = "x", forward: Any = None, **defaults: float) -> Kernel:
    """The kernel of a function of FUNCTIONS; `defaults` are its settings a and b, `keeps` is "x" or "y".

    forward: NumPy's own function, where its loop needs no help; then only the VJP is compiled.
    """

    def run_forward(x: np.ndarray, **settings: float) -> Any:
        if not takes(x):
            return NotImplemented
        y = np.asarray(forward(x)) if forward else _run(name, x, None, (defaults | settings).values())
        return y, (x if keeps == "x" else y,)

    def run_vjp(dy: np.ndarray, kept: Any, *, needs: tuple[bool, ...], **settings: float) -> Any:
        if not takes(dy, *kept):
            return NotImplemented
        return (_run(name, kept[0], dy, (defaults | settings).values()),)

    return Kernel(run_forward, run_vjp)


relu = pointwise("relu", "y")
leaky_relu = pointwise("leaky_relu", negative_slope=0.01)
hardtanh = pointwise("hardtanh", "y", min=-1.0, max=1.0)
hardsigmoid = pointwise("hardsigmoid")
hardswish = pointwise("hardswish")
sigmoid = pointwise("sigmoid", "y")
tanh = pointwise("tanh", "y", forward=np.tanh)
silu = pointwise("silu", beta=1.0)
gelu = pointwise("gelu")
gelu_tanh = pointwise("gelu_tanh")
elu = pointwise("elu", alpha=1.0)
softplus = pointwise("softplus", beta=1.0, threshold=20.0)
mish = pointwise("mish")
