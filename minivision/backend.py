"""Who computes an operation: its C kernel, or its NumPy definition."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from . import kernels

_name = "c" if kernels.AVAILABLE else "numpy"


def set_backend(name: str) -> None:
    """Chooses who computes: "c" (the kernels) or "numpy" (the definitions). The same numbers up to rounding."""
    global _name
    if name not in ("c", "numpy"):
        raise ValueError(f'the backend is "c" or "numpy", got {name!r}')
    if name == "c" and not kernels.AVAILABLE:
        raise RuntimeError("the C kernels are not built here; `minivision doctor` says why and what to do")
    _name = name


def get_backend() -> str:
    """The backend in use: "c" or "numpy"."""
    return _name


@contextmanager
def backend(name: str) -> Iterator[None]:
    """`set_backend` for the length of a `with` block."""
    before = _name
    set_backend(name)
    try:
        yield
    finally:
        set_backend(before)
