"""Activations, softmax."""

from __future__ import annotations

from typing import Any

from .. import ops

__all__ = ["gelu", "log_softmax", "relu", "sigmoid", "silu", "softmax", "tanh"]

relu = ops.activation.relu
sigmoid = ops.activation.sigmoid
tanh = ops.elementary.tanh


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
