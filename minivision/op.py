"""An operation = a name, its NumPy definition, its closed-form VJP and, where speed matters, a C kernel.

The definition takes arrays (None for an absent one) and keyword attributes and returns (y, kept): the result, and what
the VJP needs. The VJP takes the cotangent dy, the kept values and the same attributes, and returns one cotangent for
each array. Both are written with NumPy functions and other operations, so both also run on Tensors: that is how
gradients of gradients come about without a second rule.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from .backend import get_backend
from .errors import GraphError, ShapeError
from .recording import is_recording
from .shapes import NUMPY_1, Signature
from .tape import METHODS, NUMPY, Node, Tensor, source

OPS: dict[str, Op] = {}


class Op:
    """One differentiable operation; calling it computes and, where an argument requires gradients, records."""

    def __init__(self, name: str, definition: Callable[..., Any], vjp: Callable[..., Any], kernel: Any, view: bool, once: str):
        self.name, self.definition, self.vjp, self.kernel, self.view, self.once = name, definition, vjp, kernel, view, once
        self.signature = Signature(name, definition)
        self._takes_needs, self._takes_parts = (name in inspect.signature(vjp).parameters for name in ("needs", "parts"))

    def __call__(self, *args: Any, **attrs: Any) -> Any:
        arrays = tuple(a.data if isinstance(a, Tensor) else _number(a, args) if isinstance(a, np.generic) else a for a in args)
        y, kept = self.forward(arrays, attrs)
        tensors = [a for a in args if isinstance(a, Tensor)]
        if not tensors:
            return y
        result = Tensor(y, version=tensors[0].version if self.view else None)
        if is_recording() and y.dtype.kind == "f" and any(t.requires_grad for t in tensors):
            held = {id(k) for k in kept if isinstance(k, (np.ndarray, np.generic))}
            guards = self._guards(args, arrays, result, held) if held else []
            result.node = Node(self, y, attrs, kept, args if held else None, tuple(map(source, args)), guards)
            result.requires_grad = True
        return result

    def _guards(self, args: Any, arrays: Any, result: Tensor, held: set[int]) -> list[tuple[list[int], int, str]]:
        """The arrays that were kept and must not change before backward: (version, its value now, what it is)."""
        pairs = enumerate(zip(args, arrays, strict=True))
        owners = [(t, f"its argument {self.signature.name(i)}") for i, (t, a) in pairs if id(a) in held]
        owners += [(result, "its result")] if id(result.data) in held else []
        return [(t.version, t.version[0], what) for t, what in owners if isinstance(t, Tensor)]

    def forward(self, arrays: tuple[Any, ...], attrs: dict[str, Any]) -> tuple[np.ndarray, tuple[Any, ...]]:
        """(y, kept) on arrays: by the kernel where there is one and it takes these arrays, else by the definition."""
        dtype = self.signature.check(arrays)
        try:
            done = self.kernel.forward(*arrays, **attrs) if self.kernel and get_backend() == "c" else NotImplemented
            y, kept = self.definition(*arrays, **attrs) if done is NotImplemented else done
        except (ValueError, IndexError) as error:
            own = isinstance(error, (ShapeError, np.linalg.LinAlgError))
            raise error if own else self.signature.explain(error, arrays) from error
        return self.signature.result(np.asarray(y), attrs.get("dtype", dtype), arrays), kept

    def replay(self, node: Node) -> tuple[Any, ...]:
        """The kept values as Tensors: the definition run once more, on the Tensors that the forward pass was given."""
        if self.once:
            raise GraphError(f"{self.name} cannot be differentiated twice: {self.once}")
        return node.kept if node.inputs is None else self.definition(*node.inputs, **node.attrs)[1]

    def pull(self, dy: Any, kept: tuple[Any, ...], needs: tuple[bool, ...], attrs: dict[str, Any]) -> tuple[Any, ...]:
        """One cotangent for each argument; those that `needs` does not ask for may be None."""
        dy = dy if isinstance(dy, Tensor) or self._takes_parts else np.asarray(dy)  # Parts are put together where needed whole
        fast = not isinstance(dy, Tensor) and self.kernel and self.kernel.vjp and get_backend() == "c"
        done = self.kernel.vjp(dy, kept, needs=needs, **attrs) if fast else NotImplemented
        if done is NotImplemented:
            done = self.vjp(dy, kept, **({"needs": needs} if self._takes_needs else {}), **attrs)
        done = done if isinstance(done, tuple) else (done,)
        if not NUMPY_1 or "dtype" in attrs:
            return done
        return tuple(dx if dx is None or dx.dtype == dy.dtype else dx.astype(dy.dtype) for dx in done)


def _number(a: np.generic, args: tuple[Any, ...]) -> Any:
    """A NumPy scalar beside arrays is a plain number, which changes no element type; alone it is a 0-d array."""
    return a.item() if any(isinstance(other, (Tensor, np.ndarray)) for other in args) else np.asarray(a)


def op(
    name: str, definition: Any, vjp: Any, *,
    kernel: Any = None, numpy: Any = None, method: str = "", view: bool = False, once: str = "",
) -> Op:  # fmt: skip
    """Registers an operation.

    numpy: the NumPy function it answers for on Tensors; method: its name on a Tensor; view: the result may share the
    first argument's memory; once: why it cannot be differentiated twice, if it cannot.
    """
    if name in OPS:
        raise ValueError(f"operation {name!r} is registered twice")
    OPS[name] = made = Op(name, definition, vjp, kernel, view, once)
    if numpy is not None:
        NUMPY[numpy] = made
    if method:
        METHODS[method] = lambda self, *args, **kwargs: made(self, *args, **kwargs)
    return made
