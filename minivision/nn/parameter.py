"""Parameters: leaf Tensors whose initial values are drawn when they are first needed, and not before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import random
from ..tape import Tensor
from . import init

_DATA = Tensor.__dict__["data"]  # the slot itself: empty until the values are there


@dataclass(frozen=True)
class Plan:
    """How to make values: the same seed and rule give the same values, whenever they are asked for."""

    shape: tuple[int, ...]
    dtype: np.dtype
    rule: init.Rule
    seed: int

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def values(self) -> np.ndarray:
        """A new array, drawn from this plan's own generator."""
        drawn = self.rule(np.random.Generator(np.random.PCG64(self.seed)), self.shape)
        if np.shape(drawn) != self.shape:
            raise ValueError(f"the rule for initial values should give shape {self.shape}, got {np.shape(drawn)}")
        return np.array(drawn, self.dtype, order="C")  # a copy: a rule may give the same array twice


class Parameter(Tensor):
    """A Tensor that a Module learns.

    Parameter((3, 4), init.normal(std=0.02)) has that shape and takes memory only when its values are first read: its
    seed is drawn from mv.random when it is made, so the order of reading changes nothing. Parameter(array) holds a
    copy of the array.
    """

    __slots__ = ("plan",)
    plan: Plan | None
    shape = property(lambda self: _held(self).shape, doc="The length of each axis.")
    ndim = property(lambda self: _held(self).ndim, doc="The number of axes.")
    dtype = property(lambda self: _held(self).dtype, doc="The element type, a NumPy dtype.")

    def __init__(self, data: Any, rule: init.Rule | None = None, dtype: Any = None, requires_grad: bool = True):
        lazy = isinstance(data, tuple)
        if lazy and (any(not isinstance(n, (int, np.integer)) or n < 0 for n in data)):
            raise ValueError(f"a parameter's shape is a tuple of sizes, got {data}; pass values as an array")
        values = np.empty(0, dtype or np.float32) if lazy else _copy(data, dtype)
        super().__init__(values, requires_grad)
        self.plan = None
        if lazy:
            _DATA.__delete__(self)
            self.plan = Plan(tuple(map(int, data)), values.dtype, init.zeros(), 0)
            self.initialise(rule or init.zeros())

    def __getattr__(self, name: str) -> Any:
        if name != "data":
            return super().__getattr__(name)
        assert self.plan is not None, "a parameter holds values or a plan for them"
        self.data = self.plan.values()
        return self.data

    def initialise(self, rule: init.Rule) -> Parameter:
        """Gives the parameter another rule and a new seed; the values are drawn when they are first read."""
        self.plan = Plan(self.shape, self.dtype, rule, int(random.generator().integers(2**63)))
        if self.is_filled():
            self.empty()
        return self

    def is_filled(self) -> bool:
        """Whether the values are in memory."""
        return _held(self) is not self.plan

    def empty(self) -> None:
        """Lets go of the values; the plan makes them anew."""
        assert self.plan is not None, "a parameter made from an array has no plan to make it anew"
        _DATA.__delete__(self)
        self.version[0] += 1

    def assign(self, values: np.ndarray) -> None:
        """Takes a copy of `values`, of this shape, in this element type: in place, or without drawing what it replaces."""
        if values.shape != self.shape:
            raise ValueError(f"a parameter of shape {self.shape} cannot take values of shape {values.shape}")
        if self.is_filled():
            self.data[...] = values
        else:
            self.data = np.array(values, self.dtype, order="C")
        self.version[0] += 1

    def convert(self, dtype: Any) -> None:
        """Changes the element type in place, of values or plan and of the gradient."""
        dtype = np.dtype(dtype)
        self.plan = self.plan and replace(self.plan, dtype=dtype)
        if self.is_filled() and self.dtype != dtype:
            self.data = self.data.astype(dtype)
            self.version[0] += 1
        if self.grad is not None:
            self.grad = Tensor(self.grad.data.astype(dtype, copy=False))

    def __repr__(self) -> str:
        return super().__repr__() if self.is_filled() else f"Parameter(shape={self.shape}, {self.dtype}, values not drawn yet)"


@contextmanager
def without_values(parameters: Iterable[Parameter]) -> Iterator[None]:
    """Inside, parameters whose values were not drawn yet read as zeros that take no memory; afterwards, as before."""
    unfilled = [p for p in parameters if not p.is_filled()]
    try:
        for p in unfilled:
            p.data = np.broadcast_to(p.dtype.type(), p.shape)
        yield
    finally:
        for p in unfilled:
            _DATA.__delete__(p)


def _held(parameter: Parameter) -> Any:
    """The values, or else the plan for them: both know shape, ndim and dtype."""
    try:
        return _DATA.__get__(parameter)
    except AttributeError:
        return parameter.plan


def _copy(data: Any, dtype: Any) -> np.ndarray:
    """A new C-ordered array; Python's own floats become float32, as in mv.tensor."""
    array = data.data if isinstance(data, Tensor) else data
    own = isinstance(array, (np.ndarray, np.generic))
    array = np.array(array, dtype, order="C")
    return array.astype(np.float32) if dtype is None and not own and array.dtype == np.float64 else array
