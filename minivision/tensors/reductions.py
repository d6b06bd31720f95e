"""Sums, extremes, order and counts as functions."""

from __future__ import annotations

from ..ops.methods.norms import norm
from ..ops.methods.order import argmax, argmin, argsort, kthvalue, max, median, min, sort, topk, unique
from ..ops.methods.reductions import (
    all,
    amax,
    amin,
    any,
    bincount,
    count_nonzero,
    cumprod,
    cumsum,
    logsumexp,
    mean,
    prod,
    std,
    std_mean,
    sum,
    var,
    var_mean,
)

__all__ = [
    "all", "amax", "amin", "any", "argmax", "argmin", "argsort", "bincount", "count_nonzero", "cumprod", "cumsum", "kthvalue",
    "logsumexp", "max", "mean", "median", "min", "norm", "prod", "sort", "std", "std_mean", "sum", "topk", "unique", "var",
    "var_mean",
]  # fmt: skip
