"""The tape: arrays that remember how they were made, and the walk back along that memory.

A Tensor is a NumPy array plus, perhaps, the Node that made it. A Node knows its operation, what the forward pass kept,
and the parents its cotangents go to. This file knows nothing of any operation: NumPy's own functions applied to a
Tensor are looked up in NUMPY, torch's method names in METHODS; the operations fill both in.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from .errors import GraphError, changed_in_place, freed_graph
from .recording import set_grad_enabled

NUMPY: dict[Any, Callable[..., Any]] = {}  # NumPy function -> what it means on Tensors
METHODS: dict[str, Any] = {}  # name -> torch.Tensor's method of that name
_serial = itertools.count()


class Tensor(NDArrayOperatorsMixin):
    """A NumPy array (`data`) that can be differentiated through.

    `grad` is a Tensor of the same shape after `backward()` on a leaf that requires one. `version` is a one-element
    list, shared by views of the same memory, that counts changes in place.
    """

    __slots__ = ("__weakref__", "data", "grad", "node", "requires_grad", "version")
    __hash__ = object.__hash__
    shape = property(lambda self: self.data.shape, doc="The length of each axis.")
    ndim = property(lambda self: self.data.ndim, doc="The number of axes.")
    dtype = property(lambda self: self.data.dtype, doc="The element type, a NumPy dtype.")
    T = property(lambda self: self.transpose(-2, -1), doc="The last two axes swapped.")

    def __init__(self, data: np.ndarray, requires_grad: bool = False, node: Node | None = None, version: list[int] | None = None):
        if requires_grad and data.dtype.kind != "f":
            raise TypeError(f"only floating-point tensors can require gradients, got {data.dtype}; convert with .float() first")
        self.data, self.requires_grad, self.node = data, requires_grad, node
        self.grad: Tensor | None = None
        self.version = [0] if version is None else version

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **kwargs: Any) -> Any:
        if method != "__call__" or kwargs or ufunc not in NUMPY:
            raise TypeError(f"np.{ufunc.__name__} ({method}, {sorted(kwargs)}) is not an operation on Tensors; see mv.functional")
        return NUMPY[ufunc](*inputs) if out is None else METHODS["assign_"](out[0], NUMPY[ufunc](*inputs))  # out: x += y

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func not in NUMPY:
            raise TypeError(f"np.{func.__name__} is not an operation on Tensors; see mv.functional, or take .numpy() first")
        return NUMPY[func](*args, **kwargs)

    def __getattr__(self, name: str) -> Any:  # reached only for what is not defined in this class
        if name not in METHODS:
            raise AttributeError(f"a Tensor has no attribute {name!r}")
        return METHODS[name].__get__(self)

    def __getitem__(self, index: Any) -> Tensor:
        return METHODS["__getitem__"](self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        METHODS["__setitem__"](self, index, value)

    def __iter__(self) -> Any:
        return iter(METHODS["unbind"](self))

    def __len__(self) -> int:
        return len(self.data)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.data)

    def __repr__(self) -> str:
        made_by = f", made by {self.node.op.name}" if self.node else ", requires_grad=True" if self.requires_grad else ""
        return f"tensor({np.array2string(self.data, separator=', ', prefix='tensor(')}, {self.dtype}{made_by})"

    def backward(self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False) -> None:
        """Adds d(self)/d(leaf), times `gradient` (default 1, for a scalar), to the grad of every leaf that requires one."""
        shared = {id(gradient.data if isinstance(gradient, Tensor) else gradient)}
        for leaf, dx in _pull([self], [gradient], None, create_graph, retain_graph).items():
            if not create_graph:  # a grad owns its memory: it may be clipped or zeroed in place
                owned = dx.base is None or (dx.flags.writeable and sys.getrefcount(dx.base) <= 2)  # by nobody else
                dx = Tensor(np.asarray(dx if owned and id(dx) not in shared else dx.copy()))
                shared.add(id(dx.data))
            with set_grad_enabled(create_graph):
                leaf.grad = dx if leaf.grad is None else leaf.grad + dx


class Node:
    """One recorded operation. `parents` are Nodes, leaf Tensors or None; `inputs` are there only to replay the definition."""

    __slots__ = ("attrs", "dtype", "freed", "guards", "inputs", "kept", "op", "parents", "serial", "shape")

    def __init__(self, op: Any, y: np.ndarray, attrs: Any, kept: Any, inputs: Any, parents: tuple[Any, ...], guards: list[Any]):
        self.op, self.attrs, self.kept, self.inputs, self.parents, self.guards = op, attrs, kept, inputs, parents, guards
        self.shape, self.dtype, self.serial, self.freed = y.shape, y.dtype, next(_serial), False

    def cotangents(self, dy: Any, needs: tuple[bool, ...], create_graph: bool) -> tuple[Any, ...]:
        """The operation's VJP: on arrays, or on Tensors with the kept values as Tensors where a graph is wanted."""
        for version, then, what in self.guards:
            if version[0] != then:
                raise changed_in_place(self.op.name, what)
        return self.op.pull(dy, self.op.replay(self) if create_graph else self.kept, needs, self.attrs)

    def free(self) -> None:
        """Lets go of everything but the name."""
        self.kept = self.inputs = None
        self.guards, self.parents, self.freed = [], (), True


def source(x: Any) -> Node | Tensor | None:
    """Where a cotangent of x goes: the node that made it, itself if it is a leaf, None if it needs no gradient."""
    return (x.node or x) if isinstance(x, Tensor) and x.requires_grad else None


def _history(outputs: Sequence[Any]) -> list[Node]:
    """Every node behind the outputs, newest first: a node is always newer than its parents."""
    seen, stack = set(), [node for node in outputs if isinstance(node, Node)]
    while stack:
        node = stack.pop()
        if node not in seen:
            if node.freed:
                raise freed_graph(node.op.name)
            seen.add(node)
            stack.extend(parent for parent in node.parents if isinstance(parent, Node))
    return sorted(seen, key=lambda node: -node.serial)


def _seed(output: Any, gradient: Any, create_graph: bool) -> Any:
    """The cotangent that the walk starts with: an array, or a Tensor where a graph is wanted."""
    if source(output) is None:
        raise GraphError("backward() needs a Tensor that requires gradients; was it made under no_grad() or by .detach()?")
    if gradient is None and output.data.size != 1:
        raise GraphError(f"backward() without a gradient needs a scalar, got shape {output.shape}; reduce it or pass `gradient`")
    gradient = np.ones_like(output.data) if gradient is None else gradient
    array = gradient.data if isinstance(gradient, Tensor) else np.asarray(gradient, output.dtype)
    if array.shape != output.shape or array.dtype != output.dtype:
        raise GraphError(f"the gradient is {array.shape} {array.dtype}, but the tensor is {output.shape} {output.dtype}")
    return array if not create_graph else gradient if isinstance(gradient, Tensor) else Tensor(array)


def _pull(outputs: Any, gradients: Any, wanted: Any, create_graph: bool, retain: bool | None) -> dict[Any, Any]:
    """The cotangents of the `wanted` sources (None: of every leaf), by one walk from the newest node to the oldest."""
    arrived, found = dict[Any, Any](), dict[Any, Any]()
    for output, gradient in zip(outputs, gradients, strict=True):
        _add(arrived, source(output), _seed(output, gradient, create_graph))
    history, useful = _history(list(arrived)), set(wanted or ())  # useful: what leads to a wanted source
    for node in reversed(history):
        if wanted is None or not useful.isdisjoint(node.parents):
            useful.add(node)
    with set_grad_enabled(create_graph):
        for node in history:
            dy = arrived.pop(node, None)
            if wanted is not None and node in wanted:
                found[node] = dy
            if dy is None or node not in useful:
                continue
            needs = tuple(p is not None and (wanted is None or p in useful) for p in node.parents)
            for parent, need, dx in zip(node.parents, needs, node.cotangents(dy, needs, create_graph), strict=True):
                if need and dx is not None:
                    assert (dx.shape, dx.dtype) == (parent.shape, parent.dtype), (node.op.name, dx.shape, dx.dtype, parent.shape)
                    _add(arrived, parent, dx)
            if not (create_graph if retain is None else retain):
                node.free()
    return found | {leaf: dx for leaf, dx in arrived.items() if wanted is None or leaf in wanted}


def _add(arrived: dict[Any, Any], target: Any, dx: Any) -> None:
    arrived[target] = arrived[target] + dx if target in arrived else dx  # out of place: dx may be shared


def grad(
    outputs: Any, inputs: Any, grad_outputs: Any = None, create_graph: bool = False, retain_graph: bool | None = None
) -> Any:
    """d(outputs)/d(inputs): a tuple of Tensors (one Tensor for one input), None where an input was not used.

    `grad_outputs` are the cotangents that the walk starts with (default 1, for scalars). No `.grad` is touched.
    """
    ins, outs = ([x] if isinstance(x, Tensor) else list(x) for x in (inputs, outputs))
    seeds = list(grad_outputs) if isinstance(grad_outputs, (list, tuple)) else [grad_outputs] * len(outs)
    if any(source(x) is None for x in ins):
        raise GraphError("grad() needs inputs that require gradients")
    found = _pull(outs, seeds, {source(x) for x in ins}, create_graph, retain_graph)
    results = [found.get(source(x)) for x in ins]
    wrapped = tuple(dx if dx is None or isinstance(dx, Tensor) else Tensor(np.asarray(dx)) for dx in results)
    return wrapped[0] if isinstance(inputs, Tensor) else wrapped
