"""Every operation on every case: its numeric derivative, the tape through its definition, the second order, its contract."""

from __future__ import annotations

import numpy as np
import pytest

import minivision as mv
import minivision.functional as F
from minivision.errors import DtypeError
from minivision.op import OPS, Op
from minivision.proof import checks, report
from minivision.proof.backends import arguments_in
from minivision.proof.case import Case, normal
from minivision.proof.cases import CASES, MUTANTS
from minivision.proof.jacobian import differentiable

EACH = [
    pytest.param(OPS[name], case, id=f"{name}: {case.label}") for name, cases in CASES.items() if name in OPS for case in cases
]
SMOOTH = [param for param in EACH if param.values[1].smooth]
TWICE = [p for p in SMOOTH if not p.values[0].once and report.elements(*p.values) <= report.CHEAP]
# Each is one function of NumPy: its definition on Tensors records itself or nothing. Any other must have a graph inside.
ELEMENTARY = {
    "absolute", "add", "broadcast_to", "cast", "clamp", "concatenate", "cos", "divide", "erf", "exp", "gather", "getitem", "log",
    "matmul", "max", "maximum", "min", "minimum", "multiply", "negative", "permute", "power", "put", "reshape", "sin", "sqrt",
    "subtract", "sum", "tanh", "where", "im2col", "index_select", "pad", "roll",
    "arccos", "arcsin", "arctan", "arctan2", "ceil", "cosh", "erfc", "exp2", "expm1", "floor", "floor_divide", "fmod", "hypot",
    "log10", "log1p", "log2", "remainder", "round", "sign", "sinh", "tan", "trunc",
    "cholesky", "cumprod", "cumsum", "det", "eigh", "inv", "logabsdet", "prod", "solve", "svdvals",
}  # fmt: skip


def test_every_operation_has_cases_and_mutants():
    assert OPS.keys() == CASES.keys()
    assert OPS.keys() == MUTANTS.keys()
    assert all(CASES.values())


@pytest.mark.parametrize("name", OPS)
def test_labels_differ_and_formulas_are_written(name):
    labels = [case.label for case in CASES[name]]
    assert len(set(labels)) == len(labels), "the label seeds a case's random numbers"
    assert report.formula(OPS[name])


@pytest.mark.parametrize(("op", "case"), EACH)
def test_full_jacobian(op, case):
    assert checks.jacobian_error(op, case) <= checks.first_bound(case)


@pytest.mark.parametrize(("op", "case"), EACH)
def test_random_direction(op, case):
    assert checks.direction_error(op, case) <= checks.first_bound(case)


@pytest.mark.parametrize(("op", "case"), EACH)
def test_closed_form_against_the_tape_through_the_definition(op, case):
    error = checks.tape_error(op, case)
    assert (error is None) == (op.name in ELEMENTARY)
    assert error is None or error <= checks.TAPE_BOUND


@pytest.mark.parametrize(("op", "case"), SMOOTH)
def test_second_order(op, case):
    if op.once:
        assert op.once in checks.refusal(op, case)
    else:
        assert checks.second_error(op, case) <= checks.SECOND_BOUND


@pytest.mark.parametrize(("op", "case"), TWICE)
def test_the_hessian_is_symmetric(op, case):
    assert checks.asymmetry(op, case) <= checks.SYMMETRY_BOUND


@pytest.mark.parametrize(("op", "case"), EACH)
def test_a_cotangent_asked_for_alone_is_the_same(op, case):
    """`needs` may spare work, never change a result; on the tape the gradients are arrays of the argument's own type."""
    args, dy = arguments_in(op, case, np.float64)
    wanted = tuple(map(differentiable, args))
    kept = op.forward(tuple(args), dict(case.attrs))[1]
    together = op.pull(dy, kept, wanted, dict(case.attrs))
    assert len(together) == len(args)
    for i in np.flatnonzero(wanted):
        alone = op.pull(dy, kept, tuple(j == i for j in range(len(args))), dict(case.attrs))
        np.testing.assert_allclose(alone[i], together[i], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("op", "case"), EACH)
def test_backward_leaves_writable_gradients_of_their_own(op, case):
    args, dy = arguments_in(op, case, np.float32)
    tensors = [mv.tensor(a, requires_grad=True) if differentiable(a) else a for a in args]
    op(*tensors, **case.attrs).backward(dy)
    for tensor in filter(differentiable_tensor, tensors):
        if tensor.grad is None:
            continue  # a derivative that is 0 everywhere: the VJP gave None
        assert isinstance(tensor.grad.data, np.ndarray)
        assert tensor.grad.data.flags.writeable
        assert (tensor.grad.shape, tensor.grad.dtype) == (tensor.shape, tensor.dtype)
        assert not any(np.shares_memory(tensor.grad.data, a) for a in (*args, dy) if isinstance(a, np.ndarray))


def test_integers_beside_floats_are_refused_not_promoted():
    """NumPy would make float64 of float32 and int64, and every product after it twice as slow."""
    x, n = mv.tensor([1.0, 2.0]), mv.tensor([1, 2])
    with pytest.raises(DtypeError, match=r"multiply: float32 became float64(.|\n)*hint: convert the integers with \.to\(dtype\)"):
        x * n
    assert (x * n.float()).dtype == (x * 2).dtype == (x * np.float64(2)).dtype == (x * True).dtype == np.float32
    assert (x.double() * n).dtype == np.float64


def test_scalars_keep_their_element_type():
    """0-d arrays too: a loss is one, and so is all that is computed from it."""
    x = mv.tensor([1.0, 3.0], requires_grad=True)
    loss = F.gelu(np.log((x * x).mean() * 0.5 + 1.0)) ** 2.0
    loss.backward()
    assert (loss.shape, loss.dtype, x.grad.dtype) == ((), np.float32, np.float32)


def differentiable_tensor(x: object) -> bool:
    return isinstance(x, mv.Tensor)


# --------------------------------------------------------------------------------------------- the checks themselves


def _cube_vjp_wrong(dy, kept):
    """dx = dy x^2"""
    return dy * kept[0] * kept[0]


def _planted(vjp=_cube_vjp_wrong, once=""):
    """An operation outside the table, x^3, with the VJP given."""
    return Op("planted_cube", lambda x: (x * x * x, (x,)), vjp, None, False, once)


@pytest.fixture
def cube(monkeypatch):
    """x^3 with a wrong VJP, in the table for the length of a test."""
    wrong = _planted()
    monkeypatch.setitem(OPS, wrong.name, wrong)
    monkeypatch.setitem(CASES, wrong.name, [Case("vector", normal((3,)))])
    monkeypatch.setitem(MUTANTS, wrong.name, [])
    return wrong


def test_a_wrong_operation_fails_every_check_of_first_order(cube):
    (case,) = CASES[cube.name]
    assert checks.jacobian_error(cube, case) > 1e-2
    assert checks.direction_error(cube, case) > 1e-2
    assert checks.tape_error(cube, case) > 1e-2


def test_a_rule_with_a_constant_in_it_fails_at_second_order():
    """Right at first order; but what is kept is a plain array, so the tape does not see that it depends on x."""

    def forgetful(dy, kept):
        return dy * 3.0 * np.square(getattr(kept[0], "data", kept[0]))

    case = Case("vector", normal((3,)))
    assert checks.first_order_holds(_planted(forgetful), case)
    assert checks.second_error(_planted(forgetful), case) > 1e-2


def test_an_operation_without_second_order_says_why():
    case, refusing = (
        Case("vector", normal((3,))),
        _planted(lambda dy, kept: 3.0 * dy * kept[0] * kept[0], "its kept values are lost"),
    )
    assert "its kept values are lost" in checks.refusal(refusing, case)
    assert checks.refusal(_planted(), case) == ""


def test_the_report_shows_right_and_wrong(cube):
    (wrong,), (right,) = report.rows("planted*"), report.rows("softmax")
    assert not wrong.passed
    assert wrong.formula == "dx = dy x^2"
    assert wrong.numeric > 1e-2
    assert right.passed
    assert right.method == "complex step"
    assert right.killed == right.mutants == len(MUTANTS["softmax"])


def test_the_report_comes_row_by_row():
    found = report.rows()
    assert next(found).name == min(OPS)
