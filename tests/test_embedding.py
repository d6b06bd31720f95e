"""Tables: rows by number, the padding row, the layer, what is out of range; the kernels' same bits for any thread count."""

from __future__ import annotations

import numpy as np
import pytest

import minivision as mv
from minivision import kernels, nn
from minivision.backend import backend
from minivision.op import OPS

F = mv.functional
BACKENDS = [
    "numpy",
    pytest.param("c", marks=pytest.mark.skipif(not kernels.AVAILABLE, reason=f"no kernels here: {kernels.REASON}")),
]


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("padding", [None, 0, 2, -1])
def test_rows_and_their_gradient(padding, name):
    rng = np.random.default_rng(0)
    table, numbers = rng.standard_normal((5, 3)), rng.integers(0, 5, (4, 6))
    weight = mv.tensor(table, requires_grad=True)
    with backend(name):
        y = F.embedding(mv.tensor(numbers), weight, padding)
        dy = rng.standard_normal(y.shape)
        y.backward(dy)
    expected = np.zeros((5, 3))
    for i in range(4):
        for j in range(6):
            np.testing.assert_array_equal(y.data[i, j], table[numbers[i, j]])
            expected[numbers[i, j]] += dy[i, j]
    if padding is not None:
        expected[padding] = 0.0
    np.testing.assert_allclose(weight.grad.data, expected, rtol=1e-14, atol=1e-14)


def test_the_padding_row_has_no_gradient_of_second_order_either():
    """d/dw of |d (y^2)/dw|^2, of which the padding row has no share."""
    weight = mv.tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
    y = F.embedding(np.array([0, 1, 1, 2]), weight, 1)
    first = mv.grad((y * y).sum(), weight, create_graph=True)
    second = mv.grad((first * first).sum(), weight)
    np.testing.assert_array_equal(first.data, [[0.0, 2.0], [0.0, 0.0], [8.0, 10.0]])
    np.testing.assert_array_equal(second.data, 4.0 * first.data)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([[0, 1], [5, 9]], r"embedding: index 5 at \(1, 0\) is out of bounds, it should lie between 0 and 4"),
        ([0, -1], r"embedding: index -1 at \(1,\) is out of bounds, it should lie between 0 and 4"),
    ],
)
def test_a_number_out_of_range_is_named(numbers, message):
    with pytest.raises(ValueError, match=message):
        F.embedding(numbers, mv.zeros(5, 3))
    with pytest.raises(ValueError, match=message):
        nn.Embedding(5, 3)(np.array(numbers))
    with pytest.raises(mv.ShapeError, match=r"in module: Sequential\.0"):
        nn.Sequential(nn.Embedding(5, 3))(np.array(numbers))


def test_other_wrong_arguments_are_refused():
    with pytest.raises(TypeError, match=r"index should hold whole numbers, got float32; convert it with \.long"):
        F.embedding(mv.tensor([0.0, 1.0]), mv.zeros(5, 3))
    with pytest.raises(mv.ShapeError, match="weight should have 2 axes"):
        F.embedding([0], mv.zeros(5))
    for wrong in (5, -6):
        with pytest.raises(ValueError, match=f"padding_idx {wrong}"):
            F.embedding([0], mv.zeros(5, 3), wrong)
        with pytest.raises(ValueError, match=f"padding_idx {wrong}"):
            nn.Embedding(5, 3, wrong)


def test_the_layer():
    layer = nn.Embedding(10, 4, padding_idx=-1)
    assert list(layer.state_dict()) == ["weight"]
    assert (layer.padding_idx, layer.extra_repr()) == (9, "10, 4, padding_idx=9")
    assert nn.Embedding(10, 4).extra_repr() == "10, 4"
    values = layer.weight.data
    assert (values[9] == 0).all()
    assert (values[:9] != 0).all()
    layer(np.array([[9, 3]])).sum().backward()
    assert layer.weight.grad.data.sum(axis=1).tolist() == [0, 0, 0, 4, 0, 0, 0, 0, 0, 0]
    assert layer(np.zeros((2, 0), int)).shape == (2, 0, 4)


def test_published_vectors():
    table = np.arange(6.0, dtype=np.float32).reshape(3, 2)
    frozen = nn.Embedding.from_pretrained(mv.tensor(table))
    assert not frozen.weight.requires_grad
    assert frozen(mv.tensor([2])).tolist() == [[4.0, 5.0]]
    assert nn.Embedding.from_pretrained(table, freeze=False).weight.requires_grad


@pytest.mark.skipif(not kernels.has_openmp(), reason="the kernels are built without OpenMP: there is no second thread")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_has_the_same_bits_for_any_number_of_threads(dtype):
    """Two threads would add to one row at once, were the columns not shared out."""
    rng = np.random.default_rng(3)
    numbers, dy, found = rng.integers(0, 7, 900), rng.standard_normal((900, 600)).astype(dtype), []
    for threads in (1, 2, 3):
        kernels.set_num_threads(threads)
        with backend("c"):
            found.append(OPS["index_add"](dy, numbers, axis=0, size=7))
    one_by_one = np.zeros((7, 600), dtype)
    for row, number in zip(dy, numbers, strict=True):
        one_by_one[number] += row
    for came in found:
        np.testing.assert_array_equal(came, one_by_one)
