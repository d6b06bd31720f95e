"""The kernels of batch, group, layer and RMS normalisation against NumPy, around their vectors, rows, blocks and chunks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minivision.op import OPS
from minivision.proof.backends import CHAIN, LEEWAY, arguments_in, backend_error, everything, mixed, own_error
from minivision.proof.case import Case, normal
from minivision.proof.cases import CASES

DTYPES = (np.float32, np.float64)
Probe = Iterator[tuple[str, float]]
# (images, channels, ...): a row holds channels until it fills vectors, in blocks of rows, in chunks of blocks.
IMAGES = [(2, 3, 2, 2), (4, 3, 20, 20), (3, 33, 9, 7), (2, 130, 6, 6), (2, 1, 70, 3), (600, 70), (3, 600, 3)]


def channels_last(x: np.ndarray) -> np.ndarray:
    """The same elements with the channels last in memory."""
    return np.ascontiguousarray(x.transpose(0, *range(2, x.ndim), 1)).transpose(0, -1, *range(1, x.ndim - 1))


def _cases(name: str, shape: tuple[int, ...]) -> Iterator[Case]:
    """Every ending, in both memory orders."""
    endings: list[tuple[bool, dict[str, Any]]] = [(False, {"groups": 1 if shape[1] % 2 else 2})]
    if name == "batch_norm":
        endings = [(residual, {"activation": act}) for residual in (False, True) for act in (None, "relu")]
    for residual, attrs in endings:
        for last in (False, True):

            def draw(rng: np.random.Generator, residual: bool = residual, last: bool = last) -> tuple[Any, ...]:
                arrays = normal(shape, shape[1:2], shape[1:2], shape)(rng)
                x, r = (channels_last(a) if last else a for a in (arrays[0], arrays[3]))
                return (x, *arrays[1:3], *([r if residual else None] if name == "batch_norm" else []))

            yield Case(f"{shape} {attrs} {'residual ' * residual}{'last' if last else 'first'}", draw, attrs)


def norm_sweep() -> Probe:
    """Batch and group normalisation, training and evaluation."""
    for name in ("batch_norm", "group_norm"):
        for shape in IMAGES:
            for case in _cases(name, shape):
                yield from _beside_own_error(name, case)
    for case in CASES["batch_norm_eval"]:
        for dtype in DTYPES:
            yield f"batch_norm_eval {case.label}, {dtype.__name__}", backend_error(OPS["batch_norm_eval"], case, dtype)


def rows_sweep() -> Probe:
    """RMS norm around vectors of 4 to 16 elements, four rows at once, 16 chunks; layer norm with several rows a chunk."""
    for shape in [(1, 3), (3, 4), (4, 7), (5, 8), (9, 2), (17, 5), (2, 17), (6, 33)]:
        for dtype in DTYPES:
            yield f"rms_norm {shape}, {dtype.__name__}", backend_error(OPS["rms_norm"], Case("", normal(shape, shape[1:])), dtype)
    for shape in [(131, 40), (65, 129), (1, 1000)]:
        yield from _beside_own_error("rms_norm", Case(f"{shape}", normal(shape, shape[1:])))
        yield from _beside_own_error("layer_norm", Case(f"{shape}", normal(shape, shape[1:], shape[1:])))


def _beside_own_error(name: str, case: Case) -> Probe:
    """The error in units of the definition's own in the same element type, for arrays too large for a Jacobian.

    The definition may be right by luck: to its error are added CHAIN roundings of the largest element of each array, and
    for the sums dw and db one rounding of each term.
    """
    op = OPS[name]
    for dtype in DTYPES:
        args, dy = arguments_in(op, case, dtype)
        exact = [None if a is None else a.astype(np.float64) for a in (*args, dy)]
        expected, unit = everything(op, exact[:-1], exact[-1], case), np.finfo(dtype).eps / 2
        arrays = [dy, *(a for a in args if a is not None)]
        parts = np.split(expected, np.cumsum([a.size for a in arrays])[:-1])
        terms = [np.abs(dy).sum() / a.size * (a.ndim == 1) for a in arrays]
        luck = [np.full(len(p), unit * (CHAIN * np.abs(p).max() + t)) for p, t in zip(parts, terms, strict=True)]
        bound = LEEWAY * own_error(op, case, dtype) + np.concatenate(luck)
        off = np.abs(mixed(op, args, dy, case, "c", "c") - expected) / (2 if dtype == np.float64 else 1)
        yield f"{name} {case.label}, {dtype.__name__}", float(np.max(off / np.maximum(bound, np.finfo(np.float64).tiny)))
