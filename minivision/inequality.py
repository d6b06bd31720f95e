"""Measures of inequality, of losses as of incomes: functions of a vector, with their gradients in closed form.

Of l_1 .. l_M, all positive; m is their mean and x_k = l_k / m. Each measure is 0 where all are equal and only there, and stays
what it is where all are multiplied by one number. They take arrays and Tensors, their gradients arrays.

Task-agnostic meta-learning makes a start's losses on several tasks equal by them: meta.py (Jamal, Qi; arXiv 1805.07722).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .ops.elementwise import raw
from .tape import Tensor

__all__ = [
    "atkinson", "atkinson_gradient", "generalised_entropy", "generalised_entropy_gradient", "gini", "gini_gradient", "theil",
    "theil_gradient", "variance_of_logs", "variance_of_logs_gradient",
]  # fmt: skip


def theil(losses: Any) -> Any:
    """T = 1/M sum_k x_k ln x_k.  Theil 1967; generalised_entropy with a = 1."""
    x, _ = _shares("theil", losses)
    return np.mean(x * np.log(x))


def theil_gradient(losses: Any) -> np.ndarray:
    """dT/dl_k = (ln x_k - T) / (M m)"""
    x, scale = _shares("theil", raw(losses))
    return (np.log(x) - np.mean(x * np.log(x))) / scale


def generalised_entropy(losses: Any, a: float = 2.0) -> Any:
    """GE(a) = 1 / (M a (a - 1)) sum_k (x_k^a - 1);  GE(1) = T;  GE(0) = -1/M sum_k ln x_k.  Shorrocks 1980.

    GE(2) is half the squared coefficient of variation. A larger a looks at the largest losses, a smaller at the smallest. The
    formulas below differ from the first by sum_k (x_k - 1) = 0, and lose no digits where a is near 0 or 1.
    """
    x, _ = _shares("generalised_entropy", losses)
    logs = np.log(x)
    if a in (0.0, 1.0):
        return np.mean(x * logs) if a else -np.mean(logs)
    return np.mean(x * np.expm1((a - 1.0) * logs) if a > 0.5 else np.expm1(a * logs)) / (a * (a - 1.0))


def generalised_entropy_gradient(losses: Any, a: float = 2.0) -> np.ndarray:
    """dGE(a)/dl_k = (x_k^(a-1) - mean_j x_j^a) / (M m (a - 1));  a = 1: that of theil"""
    if a == 1.0:
        return theil_gradient(losses)
    x, scale = _shares("generalised_entropy", raw(losses))
    powers = np.expm1((a - 1.0) * np.log(x))  # x^(a-1) - 1; mean x (x^(a-1) - 1) = mean x^a - 1
    return (powers - np.mean(x * powers)) / (scale * (a - 1.0))


def atkinson(losses: Any, e: float = 0.5) -> Any:
    """A_e = 1 - d,  d = (1/M sum_k x_k^(1-e))^(1/(1-e)), e > 0;  A_1 = 1 - (prod_k x_k)^(1/M).  Atkinson 1970.

    Of incomes, the share that equality would be worth; e is the aversion to inequality.
    """
    x, _ = _shares("atkinson", losses)
    return -np.expm1(_log_equal_share(x, e))


def atkinson_gradient(losses: Any, e: float = 0.5) -> np.ndarray:
    """dA_e/dl_k = (d - (d / x_k)^e) / (M m)"""
    x, scale = _shares("atkinson", raw(losses))
    d = np.exp(_log_equal_share(x, e))
    return (d - (d / x) ** e) / scale


def gini(losses: Any) -> Any:
    """G = sum_i sum_j |l_i - l_j| / (2 M sum l) = sum_i (2 i - M - 1) l_(i) / (M sum l), l_(1) <= ... <= l_(M).  Gini 1912."""
    x, _ = _shares("gini", losses)
    return np.mean(np.abs(x[:, None] - x[None, :])) / 2.0


def gini_gradient(losses: Any) -> np.ndarray:
    """dG/dl_k = (1/M sum_j sign(l_k - l_j) - G) / (M m): piecewise constant but for the scale; equal losses count 0"""
    x, scale = _shares("gini", raw(losses))
    difference = x[:, None] - x[None, :]
    return (np.mean(np.sign(difference), axis=1) - np.mean(np.abs(difference)) / 2.0) / scale


def variance_of_logs(losses: Any) -> Any:
    """V = 1/M sum_k (ln l_k - 1/M sum_j ln l_j)^2"""
    x, _ = _shares("variance_of_logs", losses)
    logs = np.log(x)
    return np.mean((logs - np.mean(logs)) ** 2)


def variance_of_logs_gradient(losses: Any) -> np.ndarray:
    """dV/dl_k = 2 (ln l_k - 1/M sum_j ln l_j) / (M l_k)"""
    x, scale = _shares("variance_of_logs", raw(losses))
    logs = np.log(x)
    return 2.0 * (logs - np.mean(logs)) / (scale * x)


def _log_equal_share(x: Any, e: float) -> Any:
    """ln d of `atkinson`, to all digits where e is near 1."""
    if not e > 0.0:
        raise ValueError(f"atkinson: the aversion e must be above 0, got {e}")
    logs = np.log(x)
    return np.mean(logs) if e == 1.0 else np.log1p(np.mean(np.expm1((1.0 - e) * logs))) / (1.0 - e)


def _shares(name: str, losses: Any) -> tuple[Any, Any]:
    """(x, M m), after the losses are checked: one axis, all positive and finite."""
    losses = losses if isinstance(losses, Tensor) else np.asarray(losses)
    values = np.real(raw(losses))
    if values.ndim != 1 or not values.size:
        raise ValueError(f"{name}: losses are a vector, one of each task, got shape {values.shape}")
    if not (good := (values > 0.0) & np.isfinite(values)).all():
        k = int(np.argmin(good))
        raise ValueError(f"{name}: losses must be positive, as squares and cross-entropies are; loss {k} is {values[k]}")
    mean = np.mean(losses)
    return losses / mean, mean * len(values)
