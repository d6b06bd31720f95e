"""mv.gradcheck on users' own functions: right ones pass, wrong ones are shown where they are wrong."""

from __future__ import annotations

import numpy as np
import pytest

import minivision as mv
import minivision.functional as F
from minivision.errors import DtypeError, GradcheckError
from minivision.op import Op


def leaf(*shape: int, seed: int = 0) -> mv.Tensor:
    return mv.tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


def own(definition, vjp):
    """An operation of the user's own, outside the table."""
    return Op("own", definition, vjp, None, False, "")


def _product(a, b):
    return np.matmul(a, b), (a, b)


wrong_product = own(_product, lambda dy, kept: (dy @ kept[1], kept[0].T @ dy))  # b is not transposed


def test_right_functions_pass_to_second_order():
    assert mv.gradcheck(lambda x: (x * x * x).sum(), leaf(3), second_order=True)
    assert mv.gradcheck(lambda x, w, b: F.gelu(F.linear(x, w, b)), [leaf(2, 3), leaf(4, 3), leaf(4)], second_order=True)
    assert mv.gradcheck(lambda x: F.softmax(x) @ x, leaf(3, 3), second_order=True)


def test_several_outputs_inputs_without_gradients_and_scalars():
    constant, scalar = mv.tensor(np.arange(3)), mv.tensor(np.array(1.5), requires_grad=True)
    assert mv.gradcheck(lambda x, c, s: (x * s, (x * c.double()).sum()), [leaf(3), constant, scalar], second_order=True)
    assert mv.gradcheck(lambda x: x[:0], leaf(3))
    assert mv.gradcheck(lambda x: x, leaf(2))


def test_parameters_that_the_function_closes_over():
    layer = mv.nn.Linear(3, 2)
    for parameter in layer.parameters():
        parameter.data = parameter.data.astype(np.float64)
    x = leaf(4, 3)
    assert mv.gradcheck(lambda *_: layer(x), [x, *layer.parameters()])


def test_inputs_come_back_as_they_were():
    x = leaf(2, 3)
    before = x.data.tobytes()
    mv.gradcheck(lambda x: np.exp(x), x)
    assert x.data.tobytes() == before
    with pytest.raises(ZeroDivisionError):
        mv.gradcheck(lambda x: x * (1 / 0 if not mv.recording.is_recording() else 1.0), x)
    assert x.data.tobytes() == before
    assert x.grad is None


def test_a_sum_hides_a_missing_transpose_and_gradcheck_does_not():
    """Where b's rows and columns have the same sums, 1 b and 1 b^T are the same; element by element they are not."""
    a, b = leaf(2, 3), mv.tensor(np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 2.0], [2.0, 0.0, 1.0]]))
    np.testing.assert_array_equal(mv.grad(wrong_product(a, b).sum(), a).numpy(), mv.grad((a @ b).sum(), a).numpy())
    with pytest.raises(GradcheckError, match="input 0"):
        mv.gradcheck(lambda a: wrong_product(a, b), a)


def test_the_error_shows_input_element_expected_and_came():
    broken = own(lambda x, y: (x * y, (x, y)), lambda dy, kept: (dy * kept[1], dy * kept[0] * np.array([1.0, 1.0, 2.0])))
    x, y = leaf(2, 3), leaf(2, 3, seed=1)
    with pytest.raises(GradcheckError) as caught:
        mv.gradcheck(lambda x, y: (x + y, broken(x, y)), [x, y])
    text = str(caught.value)
    assert "input 1 (2, 3)" in text
    assert "in 2 of 72 elements" in text
    row = int(np.abs(x.numpy()[:, 2]).argmax())
    assert f"d output 1 ({row}, 2) / d input 1 ({row}, 2)" in text
    assert f"expected {x.numpy()[row, 2]:.6f}"[:-1] in text
    assert f"came {2 * x.numpy()[row, 2]:.6f}"[:-1] in text


def test_a_nan_gradient_is_wrong():
    broken = own(lambda x: (x * 1.0, ()), lambda dy, kept: dy * np.nan)
    with pytest.raises(GradcheckError, match="came nan"):
        mv.gradcheck(broken, leaf(2))


def test_leaving_the_tape_is_recognised():
    with pytest.raises(GradcheckError, match=r"leave the tape, by \.numpy\(\) or \.detach\(\)"):
        mv.gradcheck(lambda x: x.detach() * 2.0, leaf(2))


def test_wrong_only_at_second_order():
    """A rule that takes its kept value for a constant is right once and wrong twice."""
    frozen = own(lambda x: (x * x, (x,)), lambda dy, kept: dy * 2.0 * getattr(kept[0], "data", kept[0]))
    assert mv.gradcheck(frozen, leaf(3))
    with pytest.raises(GradcheckError, match="second order: "):
        mv.gradcheck(frozen, leaf(3), second_order=True)


def test_random_functions_are_refused():
    with pytest.raises(GradcheckError, match="other values when called again"):
        mv.gradcheck(lambda x: F.dropout(x, 0.5), leaf(20))


def test_what_cannot_be_checked_is_refused():
    x = leaf(3)
    with pytest.raises(DtypeError, match=r"input 1 is float32.*\.double\(\)"):
        mv.gradcheck(lambda x, y: x, [x, mv.tensor([1.0], requires_grad=True)])
    with pytest.raises(ValueError, match="requires gradients"):
        mv.gradcheck(lambda x: x, mv.tensor(np.ones(3)))
    with pytest.raises(ValueError, match="read-only or broadcast"):
        mv.gradcheck(lambda x: x, mv.Tensor(np.broadcast_to(1.0, (3,)), requires_grad=True))
    with pytest.raises(TypeError, match="returns Tensors, got float"):
        mv.gradcheck(lambda x: [3.0], x)


def test_gradcheck_error_is_an_assertion():
    assert issubclass(GradcheckError, AssertionError)
