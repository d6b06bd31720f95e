"""The checks of first and second order: each takes an operation and a case, and returns the worst error.

They run the NumPy pair, which is the specification; backends.py holds the C kernels against it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import backend
from ..errors import GraphError
from ..op import Op
from ..tape import Node, Tensor, grad
from .case import Case, Mutant
from .jacobian import EPS, TINY, closed_form, differentiable, flatten, generator, numeric, pull, worst

COMPLEX_BOUND = 1e-9
DIFFERENCE_BOUND = 1e-6
TAPE_BOUND = 1e-10
SECOND_BOUND = 1e-6
SYMMETRY_BOUND = 1e-10


def first_bound(case: Case) -> float:
    """What an error of first order may be: derivatives by complex step are known better than by differences."""
    return COMPLEX_BOUND if case.complex_step else DIFFERENCE_BOUND


def jacobian_error(op: Op, case: Case) -> float:
    """The full numeric Jacobian against the Jacobian made of VJPs, element by element."""
    args = case.arguments(generator(op, case))
    with backend("numpy"):
        expected = numeric(lambda x: op.definition(*x, **case.attrs)[0], args, case.complex_step)
        return worst(closed_form(op, args, case.attrs), expected)


def direction_error(op: Op, case: Case) -> float:
    """<dy, J v> by one step of the definition along a random v, against <vjp(dy), v> for a random dy."""
    rng = generator(op, case)
    args = case.arguments(rng)
    v = [rng.choice([-2.0, -1.0, 1.0, 2.0], a.shape) if differentiable(a) else None for a in args]
    with backend("numpy"):
        y, kept = op.definition(*args, **case.attrs)
        dy = np.asarray(rng.standard_normal(np.shape(y))).astype(y.dtype)
        pulled = pull(op, dy, kept, args, case.attrs) @ flatten(v, args)
        return worst(pulled, np.sum(dy * _along(op, case, args, v)))


def _along(op: Op, case: Case, args: Any, v: Any) -> Any:
    """J v, by one complex step or one central difference."""

    def at(step: Any) -> Any:
        return op.definition(*(a if d is None else a + step * d for a, d in zip(args, v, strict=True)), **case.attrs)[0]

    return at(1j * TINY).imag / TINY if case.complex_step else (at(EPS) - at(-EPS)) / (2 * EPS)


def tape_error(op: Op, case: Case) -> float | None:
    """The closed form against the tape through the operations inside the definition; None where it has none inside.

    Run on Tensors, the definition of, say, layer_norm records subtractions, means and roots, and differentiating
    through those shares no algebra with the closed form. An elementary operation records only itself, or nothing.
    """
    rng = generator(op, case)
    args = case.arguments(rng)
    with backend("numpy"):
        tensors = [Tensor(a, requires_grad=True) if differentiable(a) else a for a in args]
        y = op.definition(*tensors, **case.attrs)[0]
        if not isinstance(y, Tensor) or y.node is None or op.name in recorded(y):
            return None
        dy = np.asarray(rng.standard_normal(y.shape))
        inputs = [t for t in tensors if isinstance(t, Tensor)]
        through = iter(grad(y, inputs, dy))
        expected = [getattr(next(through), "data", None) if isinstance(t, Tensor) else None for t in tensors]
        return worst(pull(op, dy, op.definition(*args, **case.attrs)[1], args, case.attrs), flatten(expected, args))


def recorded(y: Tensor) -> set[str]:
    """The names of the operations behind a Tensor."""
    names, stack = set(), [y.node]
    while stack:
        node = stack.pop()
        if isinstance(node, Node):
            names.add(node.op.name)
            stack.extend(p for p in node.parents if isinstance(p, Node))
    return names


def second_error(op: Op, case: Case, by: str = "numpy") -> float:
    """d<u, vjp(dy)> / d(arguments, dy) by replaying the tape, against central differences of the VJP; u, dy random.

    by: the backend that the tape computes with; the differences are those of the NumPy pair.
    """
    rng = generator(op, case)
    args = case.arguments(rng)
    with backend("numpy"):
        y = np.asarray(op.definition(*args, **case.attrs)[0])
        dy = np.asarray(rng.standard_normal(y.shape)).astype(y.dtype)
        u = [np.asarray(rng.standard_normal(a.shape)) if differentiable(a) else None for a in args]
        expected = numeric(lambda z: np.atleast_1d(_first(op, z[:-1], z[-1], case) @ flatten(u, args)), [*args, dy])
    with backend(by):
        return worst(_second(op, args, dy, u, case), np.ravel(expected))


def _first(op: Op, args: Any, dy: np.ndarray, case: Case) -> np.ndarray:
    return pull(op, dy, op.definition(*args, **case.attrs)[1], args, case.attrs)


def _second(op: Op, args: Any, dy: np.ndarray, u: Any, case: Case) -> np.ndarray:
    tensors = [Tensor(a, requires_grad=True) if differentiable(a) else a for a in args]
    cotangent = Tensor(dy, requires_grad=True)
    inputs = [t for t in tensors if isinstance(t, Tensor)]
    first = grad(op(*tensors, **case.attrs), inputs, cotangent, create_graph=True)
    weights = [w for w in u if w is not None]
    total = sum((g * w).sum() for g, w in zip(first, weights, strict=True) if g is not None)
    second = grad(total, [*inputs, cotangent])
    return flatten([getattr(s, "data", None) for s in second], [t.data for t in (*inputs, cotangent)])


def asymmetry(op: Op, case: Case) -> float:
    """How far the Hessian of <w, f(x)>, row by row from replayed tapes, is from symmetric; w random."""
    rng = generator(op, case)
    args = case.arguments(rng)
    with backend("numpy"):
        y = op.definition(*args, **case.attrs)[0]
        w = np.asarray(rng.standard_normal(np.shape(y))).astype(y.dtype)
        sizes = [a.size for a in args if differentiable(a)]
        rows = []
        for basis in np.eye(sum(sizes)):
            parts = iter(np.split(basis, np.cumsum(sizes)[:-1]))
            u = [next(parts).reshape(a.shape) if differentiable(a) else None for a in args]
            rows.append(_second(op, args, w, u, case)[: sum(sizes)])
    hessian = np.array(rows).reshape(sum(sizes), sum(sizes))
    return worst(hessian, hessian.T)


def refusal(op: Op, case: Case) -> str:
    """What an operation registered with `once` answers when it is differentiated twice; "" if it does not refuse."""
    args = case.arguments(generator(op, case))
    tensors = [Tensor(a, requires_grad=True) if differentiable(a) else a for a in args]
    y = op(*tensors, **case.attrs)
    try:
        grad(y, [t for t in tensors if isinstance(t, Tensor)], np.ones(y.shape), create_graph=True)
    except GraphError as error:
        return str(error)
    return ""


def mutated(op: Op, mutant: Mutant) -> Op:
    """The operation with a mutant's definition or VJP in place of its own; the table of operations stays as it is."""
    return Op(op.name, mutant.definition or op.definition, mutant.vjp or op.vjp, None, op.view, op.once)


def first_order_holds(op: Op, case: Case) -> bool:
    """Whether the checks of first order accept an operation on one case."""
    if jacobian_error(op, case) > first_bound(case) or direction_error(op, case) > first_bound(case):
        return False
    return (tape_error(op, case) or 0.0) <= TAPE_BOUND


def killed(op: Op, mutant: Mutant, cases: Any) -> bool:
    """Whether a check of first order rejects the mutant on one of the cases."""
    wrong = mutated(op, mutant)
    return not all(first_order_holds(wrong, case) for case in cases)
