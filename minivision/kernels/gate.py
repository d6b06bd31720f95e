"""Images times a number for each channel of each image, on the maps of csrc/batch_norm.inc.c: the gates of attention."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._library import Kernel, takes
from .batch_norm import Order, channel_map, channel_sums
from .norm import dense


def _is_gate(x: Any, gate: Any) -> bool:
    """x (N, C, ...) and gate (N, C, 1, ...)"""
    return (
        isinstance(x, np.ndarray)
        and isinstance(gate, np.ndarray)
        and gate.ndim == x.ndim > 2
        and gate.shape == x.shape[:2] + (1,) * (x.ndim - 2) != x.shape
        and x.size > 0
        and takes(x, gate)
    )


def _multiply(a, b):
    if not (_is_gate(a, b) or _is_gate(b, a)):
        return NotImplemented
    x, gate = (a, b) if a.size > b.size else (b, a)
    return _scaled(Order.of(x), x, gate), (a, b)


def _scaled(order: Order, x: np.ndarray, gate: np.ndarray) -> np.ndarray:
    """Normalisation by mean 0 and r = gate, where each channel of each image is a group of its own."""
    r = dense(gate.reshape(gate.shape[:2]))
    return channel_map(order, order.sizes(*gate.shape[:2]), order.dense(x), None, None, np.zeros_like(r), r, None, None)


def _multiply_vjp(dy, kept, *, needs):
    a, b = kept
    if not (_is_gate(a, b) or _is_gate(b, a)) or not takes(dy, a):
        return NotImplemented
    swapped = b.size > a.size
    x, gate = (b, a) if swapped else (a, b)
    needs_x, needs_gate = needs[::-1] if swapped else needs
    order, dgate = Order.of(x), None
    dx = _scaled(order, dy, gate) if needs_x else None
    if needs_gate:
        ones = np.ones(gate.shape[:2], x.dtype)
        held = [None, None, np.zeros_like(ones), ones]
        sums = channel_sums(order, order.sizes(*ones.shape), order.dense(dy), order.dense(x), held, None, None, False)
        dgate = sums[0].reshape(gate.shape)
    return (dgate, dx) if swapped else (dx, dgate)


multiply: Kernel = Kernel(_multiply, _multiply_vjp)
