"""What a model costs: parameters, multiply-adds (MACs) and activations of every module, counted in one forward pass.

MACs are the multiplications of convolutions, linear layers, matrix products and attention's two products, for one
sample; normalisation, activation functions, softmax, biases and pooling are not counted. Activations are the elements
of those operations' results (Radosavovic et al. 2020, section 3.2).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np

from .nn import Module
from .nn.parameter import without_values
from .op import OPS
from .recording import no_grad
from .tape import Tensor


def _linear_macs(y: np.ndarray, x: np.ndarray, weight: np.ndarray, *_: Any) -> int:
    """x (*, I) W (O, I): each of y's elements sums I products."""
    return y.size * weight.shape[1]


def _matmul_macs(y: np.ndarray, a: np.ndarray, b: np.ndarray) -> int:
    """a (..., M, K) b (..., K, N): each of y's elements sums K products."""
    return y.size * a.shape[-1]


def _conv2d_macs(y: np.ndarray, x: np.ndarray, weight: np.ndarray, *_: Any) -> int:
    """W (O, C / groups, kh, kw): each of y's elements sums C / groups kh kw products."""
    return y.size * math.prod(weight.shape[1:])


def _attention_macs(y: np.ndarray, q: np.ndarray, k: np.ndarray, *_: Any) -> int:
    """q (..., M, D) k^T (..., D, N), then p (..., M, N) v (..., N, E)."""
    (m, d), n = q.shape[-2:], k.shape[-2]
    return math.prod(np.broadcast_shapes(q.shape[:-2], k.shape[:-2])) * m * n * d + y.size * n


MACS: dict[str, Callable[..., int]] = {
    "linear": _linear_macs,
    "linear_activation": _linear_macs,
    "matmul": _matmul_macs,
    "conv2d": _conv2d_macs,
    "attention": _attention_macs,
}


def _product(name: str, arrays: tuple[Any, ...]) -> tuple[int, ...] | None:
    """The shape of a linear layer's, a matrix product's or attention's result; None where the operands do not fit.

    linear: x (*, I) and W (O, I) give (*, O), whatever else there is. matmul: (..., M, K) and (..., K, N) give (..., M, N).
    attention: q (..., M, D), k (..., N, D) and v (..., N, E) give (..., M, E). Leading axes broadcast; vectors are left alone.
    """
    a, b, *others = (array.shape for array in arrays[: 3 if name == "attention" else 2])
    if name.startswith("linear"):
        return (*a[:-1], b[0]) if a[-1:] == b[1:] else None
    if min(map(len, (a, b, *others))) < 2 or a[-1] != (b[-1] if others else b[-2]) or any(v[-2] != b[-2] for v in others):
        return None
    leading = [shape[:-2] for shape in (a, b, *others)]
    fits = all(len({1, *sizes}) <= 2 for sizes in zip_longest(*(each[::-1] for each in leading), fillvalue=1))
    return (*np.broadcast_shapes(*leading), a[-2], (others or [b])[0][-1]) if fits else None


LARGE = 1 << 22  # elements, from which on filling memory is what takes the time


def _uncounted(name: str, arrays: tuple[Any, ...], attrs: dict[str, Any]) -> tuple[int, ...] | None:
    """The shape of a large result without multiply-adds: of a sum of two of a shape, a norm, a border of zeros, a join."""
    shapes, axis = [np.shape(a) for a in arrays], attrs.get("axis", 0)
    if sum(map(math.prod, shapes)) < LARGE or arrays[0].dtype.kind != "f":
        return None
    if name == "layer_norm" or (name == "add" and shapes[0] == shapes[1]):
        return shapes[0]
    if name == "pad" and attrs.get("value", 0.0) == 0.0:
        return tuple(before + n + after for (before, after), n in zip(attrs["widths"], shapes[0], strict=True))
    if name == "concatenate" and axis >= 0 and len({(*s[:axis], *s[axis + 1 :]) for s in shapes}) == 1:
        return (*shapes[0][:axis], sum(s[axis] for s in shapes), *shapes[0][axis + 1 :])
    return None


UNCOUNTED = "layer_norm", "add", "pad", "concatenate"


@dataclass
class Row:
    """One module, with all that is inside it. output is None where the module was not called."""

    path: str
    type: str
    parameters: int
    output: Any = None
    macs: int = 0
    activations: int = 0


@dataclass
class Profile:
    """`rows` for every module, the model itself first (its path is empty: it holds the totals)."""

    rows: list[Row] = field(default_factory=list)
    parameters = property(lambda self: self.rows[0].parameters, doc="Elements of all parameters, shared ones once.")
    macs = property(lambda self: self.rows[0].macs, doc="Multiply-adds of one sample.")
    activations = property(lambda self: self.rows[0].activations, doc="Elements of all counted operations' results.")

    def table(self) -> str:
        """Plain text: a line for each module, the totals last."""
        cells: list[tuple[str, ...]] = [("module", "type", "output", "parameters", "MACs", "activations")]
        cells += [_cells(row, row.path) for row in self.rows[1:]] + [_cells(self.rows[0], "total")]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(c.ljust(w) if i < 3 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
            for line in cells
        ]
        return "\n".join(line.rstrip() for line in lines)

    __str__ = table


def _cells(row: Row, name: str) -> tuple[str, ...]:
    return (
        name,
        row.type,
        "-" if row.output is None else str(row.output),
        *(f"{n:,}" for n in (row.parameters, row.macs, row.activations)),
    )


def count_parameters(model: Module) -> int:
    """Elements of all parameters, shared ones once; no value is drawn for it."""
    return sum(math.prod(p.shape) for p in model.parameters())


def profile(model: Module, input_shape: tuple[int, ...], dtype: Any = None) -> Profile:
    """Counts one forward pass in evaluation mode on zeros. Products of matrices, and large sums and norms, are not computed: they
    are 0.

    input_shape: one sample's, without the batch axis: (3, 224, 224); (1, 3, 224, 224) is taken too. dtype: the zeros'; None
    is what `model.config.input_dtype` says, where a model has it (those that read whole numbers), else its first parameter's.
    Values that were not drawn yet stay so. The model is left as it was, also where the pass fails.
    """
    shape = tuple(input_shape)
    if dtype is None:
        own = next((parameter.dtype for parameter in model.parameters()), np.float32)
        dtype = getattr(getattr(model, "config", None), "input_dtype", own)
    zeros = Tensor(np.zeros(shape if len(shape) == 4 and shape[0] == 1 else (1, *shape), dtype))
    rows = {module: Row(path, type(module).__name__, count_parameters(module)) for path, module in model.named_modules()}
    with no_grad(), without_values(model.parameters()), _evaluating(rows), _counting(rows):
        model(zeros)
    return Profile(list(rows.values()))


@contextmanager
def _evaluating(modules: dict[Module, Row]) -> Iterator[None]:
    """Evaluation mode; each module's own mode comes back at the end."""
    before = {module: module.training for module in modules}
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, mode in before.items():
            module.training = mode


@contextmanager
def _counting(rows: dict[Module, Row]) -> Iterator[None]:
    """Adds what the counted operations cost to every module that is being called at the time."""
    calling: list[Row] = []  # outermost first
    busy: list[str] = []  # counted operations under way
    with ExitStack() as stack:
        for module, row in rows.items():
            stack.enter_context(module.register_forward_pre_hook(functools.partial(_enter, calling, row)))
            stack.enter_context(module.register_forward_hook(functools.partial(_leave, calling)))
        for name in MACS.keys() & OPS.keys():
            stack.enter_context(_counted(name, calling, busy))
        for name in UNCOUNTED:
            stack.enter_context(_skipped(name))
        yield


def _enter(calling: list[Row], row: Row, module: Module, args: tuple[Any, ...]) -> None:
    calling.append(row)


def _leave(calling: list[Row], module: Module, args: tuple[Any, ...], output: Any) -> None:
    calling.pop().output = _shape(output)


def _shape(output: Any) -> Any:
    """The shape of a Tensor; of several, in their own arrangement."""
    if isinstance(output, (tuple, list)):
        return [_shape(part) for part in output]
    if isinstance(output, dict):
        return {name: _shape(part) for name, part in output.items()}
    return getattr(output, "shape", None)


@contextmanager
def _counted(name: str, calling: list[Row], busy: list[str]) -> Iterator[None]:
    """Counts an operation's forward passes, but not those of operations that its definition is made of."""
    operation = OPS[name]
    forward = operation.forward

    def counting(arrays: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        shape = None if name == "conv2d" or busy else _product(name, arrays)
        busy.append(name)
        try:
            y, kept = forward(arrays, attrs) if shape is None else (np.zeros(shape, np.result_type(*arrays[:2])), ())
        finally:
            busy.pop()
        for row in [] if busy else {id(row): row for row in calling}.values():
            row.macs += MACS[name](y, *arrays)
            row.activations += y.size
        return y, kept

    with _forward(operation, counting):
        yield


@contextmanager
def _skipped(name: str) -> Iterator[None]:
    """Zeros, which take no memory before they are written, for a result whose shape is told without it."""
    operation = OPS[name]
    forward = operation.forward

    def skipping(arrays: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        shape = _uncounted(name, arrays, attrs)
        return forward(arrays, attrs) if shape is None else (np.zeros(shape, np.result_type(*arrays[:2])), ())

    with _forward(operation, skipping):
        yield


@contextmanager
def _forward(operation: Any, function: Callable[..., Any]) -> Iterator[None]:
    """Inside, the operation's forward pass is the function."""
    vars(operation)["forward"] = function
    try:
        yield
    finally:
        del vars(operation)["forward"]
