"""A shape that does not fit is refused in words that name the operation, the arguments, the axis, the place and the mend."""

from __future__ import annotations

import numpy as np
import pytest

import minivision as mv
from minivision.op import Op

F = mv.functional


def test_linear_names_the_axis_and_both_shapes():
    with pytest.raises(mv.ShapeError) as caught:
        F.linear(mv.tensor(np.zeros((2, 5))), mv.tensor(np.zeros((3, 4))))
    text = str(caught.value)
    assert "linear: weight has 4 at axis -1 (I), but x axis -1 has 5" in text
    assert "x (2, 5) float64, weight (3, 4) float64" in text
    assert "hint:" in text


def test_broadcasting_names_the_axis():
    with pytest.raises(mv.ShapeError, match=r"\(2, 3\) and \(4, 3\) do not broadcast: axis -2 has 2 and 4"):
        mv.tensor(np.zeros((2, 3))) + mv.tensor(np.zeros((4, 3)))


def test_matmul_names_the_reduced_axis():
    with pytest.raises(mv.ShapeError, match=r"b has 5 at axis -2 \(K\), but a axis -1 has 4"):
        mv.tensor(np.zeros((3, 4))) @ mv.tensor(np.zeros((5, 6)))


def test_layer_norm_names_a_weight_of_another_width():
    with pytest.raises(mv.ShapeError, match=r"weight has 5 at axis -1 \(N\), but x axis -1 has 4"):
        F.layer_norm(mv.tensor(np.zeros((3, 4))), (4,), mv.tensor(np.zeros(5)))


def test_attention_names_keys_and_values_that_differ():
    q, k, v = (mv.tensor(np.zeros((2, n, 4))) for n in (3, 5, 6))
    with pytest.raises(mv.ShapeError, match=r"v has 6 at axis -2 \(N\), but k axis -2 has 5"):
        F.scaled_dot_product_attention(q, k, v)


def test_a_reshape_that_cannot_be_is_a_shape_error():
    with pytest.raises(mv.ShapeError, match="reshape: cannot reshape"):
        mv.tensor(np.zeros((2, 3))).reshape(4, 2)


def test_concatenation_of_shapes_that_differ_is_a_shape_error():
    with pytest.raises(mv.ShapeError, match="concatenate"):
        np.concatenate([mv.tensor(np.zeros((2, 3))), mv.tensor(np.zeros((2, 4)))], axis=0)


def test_an_unknown_numpy_function_says_what_to_use():
    with pytest.raises(TypeError, match=r"np.fft.*|np.\w+ is not an operation on Tensors; see mv.functional"):
        np.linalg.svd(mv.tensor(np.eye(3)))


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'softplus'"):
        mv.tensor([1.0]).softplus()


@pytest.mark.parametrize("target", [[0, 3], [-1, 0]])
def test_cross_entropy_refuses_what_is_no_class_number(target):
    with pytest.raises(ValueError, match=r"integers from 0 to 2; got int64 from"):
        F.cross_entropy(mv.tensor(np.zeros((2, 3))), np.array(target))


def test_a_cotangent_of_another_shape_is_an_assertion():
    x = mv.tensor(np.ones((2, 3)), requires_grad=True)
    y = F.relu(x)
    y.node.op = Op("wrong", lambda x: (x, ()), lambda dy, kept: dy[:, :1], None, False, "")
    with pytest.raises(AssertionError, match=r"'wrong', \(2, 1\), dtype\('float64'\), \(2, 3\)"):
        y.backward(np.ones((2, 3)))
