"""The C kernels against the NumPy pair: forward by the one, VJP by the other, within a bound on rounding errors.

The bound is that of backward error analysis (Higham, Accuracy and Stability of Numerical Algorithms, 2002, sections 1.5
and 3.1): a result that is exact for arguments changed by a relative gamma_n = n u / (1 - n u) each is off by at most
gamma_n (|J| |x| + |y|), where J is the Jacobian, u the unit roundoff, and n counts the roundings behind one element:
one for each argument that it depends on, as in a sum, and CHAIN for the elementary functions on the way. For a matrix
product |J| |x| is 2 |A| |B|. Formulas that cancel, such as attention's dy v^T - <dy, y>, are off by more than that: a
kernel may then be as far off as the definition is in the same element type, and LEEWAY times that for its own order of
operations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .. import kernels
from ..backend import backend
from ..op import Op
from .case import Case
from .jacobian import differentiable, generator, numeric, pull

CHAIN = 16
LEEWAY = 4
MIXES = [("c", "c"), ("c", "numpy"), ("numpy", "c")]  # who computes forward, who the VJP


def rounding_bound(jacobian: np.ndarray, x: np.ndarray, y: np.ndarray, dtype: Any) -> np.ndarray:
    """gamma_n (|J| |x| + |y|) for each element of y; an infinite argument on which nothing depends counts as 0."""
    n = np.count_nonzero(jacobian, axis=1) + CHAIN
    unit = np.finfo(dtype).eps / 2
    reach = np.sum(np.where(jacobian == 0, 0.0, np.abs(jacobian) * np.where(jacobian == 0, 0.0, np.abs(x))), axis=1)
    return n * unit / (1 - n * unit) * (reach + np.abs(y))


def everything(op: Op, args: Sequence[Any], dy: np.ndarray, case: Case) -> np.ndarray:
    """The result and all cotangents in one vector, by the NumPy pair."""
    with backend("numpy"):
        y, kept = op.definition(*args, **case.attrs)
        return np.concatenate([np.ravel(y), pull(op, dy, kept, args, case.attrs)])


def mixed(op: Op, args: Sequence[Any], dy: np.ndarray, case: Case, forward: str, vjp: str) -> np.ndarray:
    """The result and all cotangents in one vector, each half by a backend of its own."""
    with backend(forward):
        y, kept = op.forward(tuple(args), dict(case.attrs))
    with backend(vjp):
        return np.concatenate([np.ravel(y), pull(op, dy, kept, args, case.attrs)])


def arguments_in(op: Op, case: Case, dtype: Any) -> tuple[list[Any], np.ndarray]:
    """A case's arguments and a random dy in an element type."""
    rng = generator(op, case)
    args = [a.astype(dtype) if differentiable(a) else a for a in case.arguments(rng)]
    with backend("numpy"):
        y = op.forward(tuple(args), dict(case.attrs))[0]
    return args, np.asarray(rng.standard_normal(y.shape)).astype(y.dtype)


def backend_error(op: Op, case: Case, dtype: Any) -> float:
    """The largest difference from the definition in float64, of any mix on any instruction set, in units of the bound."""
    args, dy = arguments_in(op, case, dtype)
    exact = [np.array(a, np.float64) if differentiable(a) else a for a in (*args, dy)]
    expected = everything(op, exact[:-1], exact[-1], case)
    jacobian = numeric(lambda z: everything(op, z[:-1], z[-1], case), exact)
    x = np.concatenate([np.ravel(a) for a in exact if differentiable(a)])
    bound = rounding_bound(jacobian, x, expected, dtype) + LEEWAY * own_error(op, case, dtype)
    bound *= 2 if dtype == np.float64 else 1  # there what it is compared with is no better itself
    return max(_ratio(mixed(op, args, dy, case, *mix), expected, bound) for _ in each_isa() for mix in MIXES)


def each_isa() -> Iterator[str]:
    """Every instruction set of this processor, in use while the loop is at it."""
    before = kernels.isa()
    try:
        for name in kernels.isas():
            kernels.use_isa(name)
            yield name
    finally:
        if before in kernels.isas():
            kernels.use_isa(before)


def own_error(op: Op, case: Case, dtype: Any) -> np.ndarray:
    """How far the NumPy pair itself is off: for each element, the largest error in the array that it belongs to.

    Measured in float32 against float64; in float64 it is smaller by the ratio of the roundoffs.
    """
    args, dy = arguments_in(op, case, np.float32)
    exact = [np.array(a, np.float64) if differentiable(a) else a for a in (*args, dy)]
    off = np.abs(everything(op, args, dy, case) - everything(op, exact[:-1], exact[-1], case))
    sizes = [dy.size, *(a.size for a in args if differentiable(a))]
    parts = [np.full(part.size, np.max(part, initial=0.0)) for part in np.split(off, np.cumsum(sizes)[:-1])]
    return np.concatenate(parts) * (np.finfo(dtype).eps / np.finfo(np.float32).eps)


def _ratio(came: np.ndarray, expected: np.ndarray, bound: np.ndarray) -> float:
    off = np.abs(came - expected)
    ratio = np.where(off == 0, 0.0, off / np.where(bound == 0, np.finfo(np.float64).tiny, bound))
    return float(np.max(np.where(np.isnan(ratio), np.inf, ratio), initial=0.0))
