"""How far a model of this library is from what reference.py found, in one pass of a case."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from golden.weights import PROBES, noise, numbers, sketch

import minivision as mv
from minivision.tensors.creation import tensor

BOUNDS = {np.float32: (1e-4, 1e-3), np.float64: (1e-10, 1e-8)}  # of the largest output, of a gradient's norm
SMALL = 1e-3  # of the whole gradient's norm: a parameter that counts for less, or for nothing, is held by this


def outputs(y: Any) -> list[Any]:
    """What a model returns, as a list."""
    return [part for each in y for part in outputs(each)] if isinstance(y, (list, tuple)) else [y]


def differences(
    model: Any, case: dict[str, Any], arrays: dict[str, np.ndarray], whole: int = PROBES
) -> Iterator[tuple[str, str, float]]:
    """One pass of the case, and backwards where it asks for gradients: what is compared, its name, how far it is off.

    An "output" is off by parts of its largest number; a "buffer" after a pass in training mode by parts of its norm, or of
    1; a "gradient" by parts of its norm, or of SMALL. whole: the size up to which reference.py kept numbers as they are.
    """
    dtype, gradients = next(model.parameters()).dtype, case.get("gradients", False)
    shape, tokens = (case["batch"], *case["input"]), case.get("tokens")
    x = tensor(numbers("input", shape, tokens) if tokens else noise("input", shape).astype(dtype))
    x.requires_grad = gradients and not tokens
    ys = outputs(model(x) if gradients else mv.no_grad()(model)(x))
    for i, y in enumerate(ys):
        wanted = arrays["output" if len(ys) == 1 else f"output{i}"]
        assert (y.shape, y.dtype) == (wanted.shape, dtype)
        yield "output", str(i), np.abs(y.numpy() - wanted).max() / np.abs(wanted).max()
    if case.get("train"):
        yield from _buffers(model, arrays["buffers"], whole)
    if gradients:
        dys = [tensor(noise(f"cotangent{i or ''}", y.shape).astype(dtype)) for i, y in enumerate(ys)]
        sum((y * dy).sum() for y, dy in zip(ys, dys, strict=True) if y.requires_grad).backward()
        leaves = dict(model.named_parameters()) if tokens else {"input": x, **dict(model.named_parameters())}
        yield from _gradients(leaves, arrays["norms"], arrays["sketches"], whole)


def _buffers(model: Any, wanted: np.ndarray, whole: int) -> Iterator[tuple[str, str, float]]:
    """Running statistics after one pass."""
    kept, at = model.state_dict(copy=False), 0
    for name, buffer in model.named_buffers():
        if name in kept:
            own = sketch(name, buffer.numpy(), whole)
            other = wanted[at : at + own.size]
            yield "buffer", name, np.linalg.norm(own - other) / max(np.linalg.norm(other), 1.0)
            at += own.size
    assert at == wanted.size


def _gradients(leaves: dict[str, Any], norms: np.ndarray, wanted: np.ndarray, whole: int) -> Iterator[tuple[str, str, float]]:
    """|g - reference| for each, by their sketches (weights.sketch)."""
    at, least = 0, SMALL * np.linalg.norm(norms)
    assert len(norms) == len(leaves)
    for (name, leaf), norm in zip(leaves.items(), norms, strict=True):
        own = sketch(name, np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy(), whole)
        yield "gradient", name, np.linalg.norm(own - wanted[at : at + own.size]) / max(norm, least)
        at += own.size
    assert at == wanted.size
