"""Making tensors of given values. Those without an element type hold float32, or int64 where all numbers are whole."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ..ops.methods._register import unpack
from ..tape import Tensor

__all__ = [
    "arange", "as_tensor", "eye", "from_numpy", "full", "full_like", "linspace", "ones", "ones_like", "tensor", "zeros",
    "zeros_like",
]  # fmt: skip

FLOAT, INT = np.float32, np.int64


def check_memory(function: str, count: float) -> None:
    """MemoryError where no machine has so many numbers of 8 bytes (np.arange then makes an empty array)."""
    if count * 8 > sys.maxsize:
        raise MemoryError(f"{function}: {count} numbers take {count * 8} bytes")


def tensor(data: Any, requires_grad: bool = False, dtype: Any = None) -> Tensor:
    """A Tensor with a copy of `data` (numbers, nested lists, an array). Python floats become float32, as in torch."""
    array = data.data if isinstance(data, Tensor) else data
    keep = isinstance(array, (np.ndarray, np.generic))
    array = np.array(array, dtype=dtype, order="C")
    if dtype is None and not keep and array.dtype == np.float64:
        array = array.astype(FLOAT)
    return Tensor(array.astype(array.dtype.newbyteorder("="), copy=False), requires_grad)


def as_tensor(data: Any, dtype: Any = None) -> Tensor:
    """`data` itself where it is a Tensor, its memory where it is an array, of this element type; else a copy."""
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)
    shares = isinstance(data, np.ndarray) and dtype in (None, data.dtype) and data.dtype.isnative
    return from_numpy(data) if shares else tensor(data, dtype=dtype)


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A Tensor on the array's own memory: a change of the one is a change of the other."""
    if not isinstance(ndarray, np.ndarray) or ndarray.dtype.kind not in "fiub" or not ndarray.dtype.isnative:
        came = f"an array of {ndarray.dtype}" if isinstance(ndarray, np.ndarray) else type(ndarray).__name__
        raise TypeError(f"from_numpy: a NumPy array of numbers in this machine's byte order is needed, got {came}")
    return Tensor(ndarray)


def zeros(*size: Any, dtype: Any = FLOAT, requires_grad: bool = False) -> Tensor:
    """Zeros of a shape, given as numbers or as a tuple."""
    return Tensor(np.zeros(unpack(size), dtype or FLOAT), requires_grad)


def ones(*size: Any, dtype: Any = FLOAT, requires_grad: bool = False) -> Tensor:
    """Ones of a shape, given as numbers or as a tuple."""
    return Tensor(np.ones(unpack(size), dtype or FLOAT), requires_grad)


def full(size: Any, fill_value: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """One value everywhere; its element type is the value's: bool, int64 or float32."""
    value = fill_value.item() if isinstance(fill_value, (Tensor, np.generic)) else fill_value
    kind = np.bool_ if isinstance(value, bool) else INT if isinstance(value, int) else FLOAT
    return Tensor(np.full(unpack((size,)), value, dtype or kind), requires_grad)


def zeros_like(input: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros in the shape and element type of another."""
    return Tensor(np.zeros(input.shape, dtype or input.dtype), requires_grad)


def ones_like(input: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones in the shape and element type of another."""
    return Tensor(np.ones(input.shape, dtype or input.dtype), requires_grad)


def full_like(input: Any, fill_value: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """One value in the shape and element type of another."""
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    return Tensor(np.full(input.shape, value, dtype or input.dtype), requires_grad)


def arange(start: float, end: float | None = None, step: float = 1, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """start, start + step, ... below end (above, for a negative step); one number is the end."""
    first, last = (0, start) if end is None else (start, end)
    if step == 0 or (last - first) * step < 0:
        raise ValueError(f"arange: steps of {step} do not lead from {first} to {last}")
    whole = all(isinstance(n, (int, np.integer)) for n in (first, last, step))
    check_memory("arange", -((first - last) // step))
    return Tensor(np.arange(first, last, step).astype(dtype or (INT if whole else FLOAT)), requires_grad)


def linspace(start: float, end: float, steps: int, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """`steps` numbers from start to end, both counted, the same distance apart."""
    check_memory("linspace", steps)
    return Tensor(np.linspace(start, end, steps).astype(dtype or FLOAT), requires_grad)


def eye(n: int, m: int | None = None, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """The unit matrix (n, m): 1 at (i, i), 0 elsewhere."""
    return Tensor(np.eye(n, m, dtype=dtype or FLOAT), requires_grad)
