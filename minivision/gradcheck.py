"""gradcheck: a function's gradients, by backward(), against its full Jacobian by central differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .errors import DtypeError, GradcheckError
from .recording import no_grad, set_grad_enabled
from .tape import Tensor, grad, source


def differences(function: Callable[[], np.ndarray], x: np.ndarray, eps: float) -> np.ndarray:
    """The Jacobian (outputs, inputs) of a function of x, by central differences: x is changed in place, and put back."""
    jacobian = np.empty((function().size, x.size))
    for j in range(x.size):
        kept = x.flat[j]
        above, below = kept + eps, kept - eps
        try:
            x.flat[j] = above
            up = function()
            x.flat[j] = below
            jacobian[:, j] = (up - function()) / (above - below if np.isfinite(kept) else 2.0 * eps)
        finally:
            x.flat[j] = kept
    return jacobian


def gradcheck(
    function: Callable[..., Any],
    inputs: Tensor | Sequence[Tensor],
    eps: float = 1e-6,
    atol: float = 1e-6,
    rtol: float = 1e-6,
    second_order: bool = False,
) -> bool:
    """True if backward() gives the derivatives of `function(*inputs)`, a Tensor or several; else GradcheckError.

    Every element of every output is differentiated by itself, with respect to every element of every input that
    requires gradients, and must equal the central difference of step eps to atol + rtol |difference|. (A sum over the
    outputs would hide a transposed or permuted rule.) Inputs must be float64, where central differences are good to
    about 1e-10 times the outputs' size. second_order: also checks the derivatives of the derivatives.
    """
    given = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    _check_inputs(given)
    _check_first(function, given, eps, atol, rtol, "")
    if second_order:
        outputs = _outputs(function, given)
        rng = np.random.default_rng(0)
        cotangents = [Tensor(rng.standard_normal(y.shape), requires_grad=True) for y in outputs if source(y) is not None]
        _check_first(_gradients(function, len(given)), (*given, *cotangents), eps, atol, rtol, "second order: ")
    return True


def _gradients(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    """(inputs, cotangents of the outputs) -> the gradients, as Tensors that can be differentiated again."""

    def gradients(*both: Tensor) -> list[Tensor]:
        given, cotangents = both[:count], both[count:]
        with set_grad_enabled(True):
            outputs = [y for y in _outputs(function, given) if source(y) is not None]
            found = grad(outputs, list(_checked(given).values()), list(cotangents), create_graph=True)
        return [g for g in found if g is not None]

    return gradients


def _checked(given: tuple[Any, ...]) -> dict[int, Tensor]:
    """The inputs that are checked, by position."""
    return {i: x for i, x in enumerate(given) if isinstance(x, Tensor) and x.requires_grad}


def _check_inputs(given: tuple[Any, ...]) -> None:
    if not _checked(given):
        raise ValueError("gradcheck needs at least one input that requires gradients: mv.tensor(array, requires_grad=True)")
    for i, x in _checked(given).items():
        if x.dtype != np.float64:
            raise DtypeError(f"gradcheck needs float64, but input {i} is {x.dtype}, whose rounding hides errors; use .double()")
        if not x.data.flags.writeable or 0 in x.data.strides:
            raise ValueError(f"gradcheck changes inputs element by element, but input {i} is read-only or broadcast; pass a copy")


def _outputs(function: Callable[..., Any], given: tuple[Tensor, ...]) -> list[Tensor]:
    outputs = function(*given)
    outputs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    for y in outputs:
        if not isinstance(y, Tensor):
            raise TypeError(f"gradcheck needs a function that returns Tensors, got {type(y).__name__}")
    return [y for y in outputs if y.dtype.kind == "f"]


def _flat(outputs: Sequence[Tensor]) -> np.ndarray:
    """All outputs' elements in one array of its own."""
    return np.concatenate([np.ravel(y.data) for y in outputs]) if outputs else np.empty(0)


def _check_first(function: Callable[..., Any], given: tuple[Any, ...], eps: float, atol: float, rtol: float, order: str) -> None:
    outputs = _outputs(function, given)
    with no_grad():
        if not np.array_equal(_flat(outputs), _flat(_outputs(function, given)), equal_nan=True):
            raise GradcheckError(f"{order}the function gives other values when called again; seed or remove what is random in it")
    checked = _checked(given)
    for (i, x), came in zip(checked.items(), _analytic(outputs, list(checked.values())), strict=True):
        with no_grad():
            expected = differences(lambda: _flat(_outputs(function, given)), x.data, eps)
        _compare(expected, came, atol, rtol, outputs, i, x, order)


def _analytic(outputs: Sequence[Tensor], inputs: list[Tensor]) -> list[np.ndarray]:
    """The Jacobian (outputs, inputs) for each input, one backward pass for each element of each output."""
    rows: list[list[np.ndarray]] = [[] for _ in inputs]
    for y in outputs:
        for basis in np.eye(y.data.size).reshape(y.data.size, *y.shape):
            used = source(y) is not None
            found = grad(y, inputs, Tensor(basis.astype(y.dtype)), retain_graph=True) if used else [None] * len(inputs)
            for row, x, g in zip(rows, inputs, found, strict=True):
                row.append(np.zeros(x.data.size) if g is None else np.ravel(g.data))
    return [np.array(row).reshape(len(row), x.data.size) for row, x in zip(rows, inputs, strict=True)]


def _compare(
    expected: np.ndarray, came: np.ndarray, atol: float, rtol: float, outputs: Sequence[Tensor], i: int, x: Tensor, order: str
) -> None:
    off = np.abs(came - expected)
    wrong = ~(off <= atol + rtol * np.abs(expected))  # NaN is wrong
    if not wrong.any():
        return
    row, column = np.unravel_index(np.argmax(np.where(wrong, np.nan_to_num(off, nan=np.inf), -1.0)), wrong.shape)
    k, element = _locate(int(row), outputs)
    at = tuple(int(n) for n in np.unravel_index(column, x.shape))
    hint = "" if came.any() else "\n  hint: it is 0 everywhere; does the function leave the tape, by .numpy() or .detach()?"
    raise GradcheckError(
        f"{order}the gradient with respect to input {i} {x.shape} is wrong in {int(wrong.sum())} of {wrong.size} elements\n"
        f"  worst: d output {k} {element} / d input {i} {at}\n"
        f"  expected {expected[row, column]:.10g} (central difference), came {came[row, column]:.10g} (backward){hint}"
    )


def _locate(row: int, outputs: Sequence[Tensor]) -> tuple[int, tuple[int, ...]]:
    """Which output, and which element of it, a row of the Jacobian belongs to."""
    for k, y in enumerate(outputs):
        if row < y.data.size:
            return k, tuple(int(n) for n in np.unravel_index(row, y.shape))
        row -= y.data.size
    raise IndexError(row)
