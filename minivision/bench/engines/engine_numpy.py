"""NumPy alone: the matrix products that its BLAS does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def set_threads(count: int) -> None:
    """Its BLAS reads the environment, which the parent process sets."""


def prepare(spec: dict[str, Any]) -> list[Callable[[], Any]]:
    """A matrix product; nothing for the other workloads."""
    if spec["kind"] != "gemm":
        return []
    m, n, k, stored = (spec["sizes"][name] for name in ("m", "n", "k", "stored"))
    rng = np.random.default_rng(0)
    a = rng.standard_normal((k, m) if stored == "aTb" else (m, k)).astype(spec["dtype"])
    b = rng.standard_normal((n, k) if stored == "abT" else (k, n)).astype(spec["dtype"])
    a, b = a.T if stored == "aTb" else a, b.T if stored == "abT" else b
    return [lambda: a @ b]
