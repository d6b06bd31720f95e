"""Extremes and their places, sorting, top-k, medians, distinct values: against Python's own sorting, ties, NaN, refusals."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

import minivision as mv
from minivision.tape import Tensor

NAN = math.nan


def leaf(values):
    return mv.tensor(np.array(values, np.float64), requires_grad=True)


def lines():
    """Rows of few different numbers, so that ties are frequent, and the same with NaN."""
    x = np.random.default_rng(1).integers(-3, 4, (40, 7)).astype(float)
    return x, np.where(np.random.default_rng(2).random(x.shape) < 0.1, NAN, x)


def order(row, descending=False):
    """The indices that sort a list: NaN is the largest, equal numbers stay in their order."""
    key = [math.inf if math.isnan(v) else v for v in row]
    return sorted(range(len(row)), key=lambda i: -key[i] if descending else key[i])


@pytest.mark.parametrize("descending", [False, True])
def test_sorting(descending):
    for x in lines():
        values, indices = mv.sort(Tensor(x), 1, descending)
        expected = [order(row, descending) for row in x.tolist()]
        assert indices.tolist() == expected
        np.testing.assert_array_equal(values.data, np.take_along_axis(x, np.array(expected), 1))
        np.testing.assert_array_equal(mv.argsort(x.T, 0, descending), np.array(expected).T)


@pytest.mark.parametrize("k", [0, 1, 3, 7])
@pytest.mark.parametrize("largest", [True, False])
def test_the_k_most_extreme(k, largest):
    for x in lines():
        top = Tensor(x).topk(k, largest=largest)
        np.testing.assert_array_equal(top.values.data, [[row[i] for i in order(row, largest)[:k]] for row in x.tolist()])
        np.testing.assert_array_equal(np.take_along_axis(x, top.indices.data, 1), top.values.data)
        assert all(len(set(row)) == k for row in top.indices.tolist())
        np.testing.assert_array_equal(mv.topk(x.T, k, 0, largest).values, top.values.data.T)


def test_results_have_names_and_unpack():
    x = leaf([[1.0, 5.0, 3.0], [9.0, 7.0, 8.0]])
    for result in (x.max(1), x.min(0, True), x.sort(), x.topk(2), x.kthvalue(2), x.median(1)):
        values, indices = result
        assert values is result.values
        assert indices is result.indices
        assert (values.shape, indices.dtype, indices.requires_grad) == (indices.shape, np.int64, False)


def test_extremes_along_an_axis():
    x = leaf([[1.0, 5.0, 5.0], [NAN, 7.0, NAN]])
    values, indices = x.max(1)
    np.testing.assert_array_equal(values.data, [5, NAN])
    assert indices.tolist() == [1, 0]
    np.testing.assert_array_equal(mv.grad(values, x, np.array([2.0, 3.0])).data, [[0, 2, 0], [3, 0, 0]])
    assert x.min(-1, keepdim=True).indices.tolist() == [[0], [0]]
    assert (x.argmax(1).tolist(), x.argmin(0).tolist(), x.argmax().item()) == ([1, 0], [1, 0, 1], 3)
    assert (x.argmax(keepdim=True).shape, x.argmax(1, True).shape) == ((1, 1), (2, 1))


def test_the_greater_of_two():
    a, b = leaf([1.0, 4.0, NAN]), leaf([3.0, 4.0, 0.0])
    np.testing.assert_array_equal(mv.max(a, b).data, [3, 4, NAN])
    np.testing.assert_array_equal(a.min(other=b).data, [1, 4, NAN])
    np.testing.assert_array_equal(mv.grad(mv.max(a[:2], b[:2]), a, np.ones(2)).data, [0, 0.5, 0])


@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_medians(n):
    x = np.random.default_rng(n).permutation(4 * n).astype(float)
    assert mv.median(x) == statistics.median_low(x.tolist())
    rows = mv.median(Tensor(x.reshape(4, n)), 1, True)
    assert rows.values.tolist() == [[statistics.median_low(row)] for row in x.reshape(4, n).tolist()]
    np.testing.assert_array_equal(np.take_along_axis(x.reshape(4, n), rows.indices.data, 1), rows.values.data)


def test_medians_at_the_edge():
    x = leaf([1.0, 2.0, 2.0, 2.0, 7.0])
    np.testing.assert_allclose(mv.grad(x.median(), x).data, [0, 1 / 3, 1 / 3, 1 / 3, 0], rtol=1e-15)
    y = leaf([[1.0, NAN, 2.0], [3.0, 1.0, 2.0]])
    assert math.isnan(y.median().item())
    np.testing.assert_array_equal(y.median(1).values.data, [NAN, 2])
    assert y.median(1).indices.tolist() == [1, 2]
    assert math.isnan(mv.median(np.zeros(0)))


def test_the_kth_value_and_its_gradient():
    x = leaf([[4.0, 1.0, 3.0, 2.0], [8.0, 8.0, 8.0, 9.0]])
    values, indices = x.kthvalue(3)
    assert (values.tolist(), indices.tolist()) == ([3.0, 8.0], [2, 2])
    np.testing.assert_array_equal(mv.grad(values, x, np.array([5.0, 6.0])).data, [[0, 0, 5, 0], [0, 0, 6, 0]])


def test_gradients_go_where_the_values_came_from():
    x = leaf([3.0, 1.0, 2.0])
    weights = np.array([10.0, 20.0, 30.0])
    assert mv.grad(x.sort().values, x, weights).tolist() == [30, 10, 20]
    assert mv.grad(x.topk(2).values, x, weights[:2]).tolist() == [10, 0, 20]
    assert mv.gradcheck(
        lambda v: [v.sort(0).values, v.topk(2, 0).values, v.max(1).values],
        leaf(np.random.default_rng(4).permutation(12).reshape(3, 4)),
    )


def test_a_number_is_sorted():
    x = Tensor(np.array(3.0))
    for result in (x.sort(0), x.topk(1), x.max(0), x.kthvalue(1, -1), x.median(0)):
        assert (result.values.item(), result.indices.item()) == (3.0, 0)
    assert (x.argsort().item(), x.argmin(0).item()) == (0, 0)


def test_what_is_not_there():
    x = Tensor(np.zeros((2, 3)))
    for k in (-1, 4):
        with pytest.raises(ValueError, match=rf"topk: k lies between 0 and 3, the size of axis -1 of \(2, 3\), got {k}"):
            x.topk(k)
    with pytest.raises(TypeError, match=r"topk: k is a whole number, got 1\.5"):
        x.topk(1.5)
    with pytest.raises(ValueError, match="kthvalue: k lies between 1 and 2"):
        x.kthvalue(0, dim=0)
    with pytest.raises(ValueError, match="sort: axis 2 should lie between -2 and 1"):
        x.sort(2)
    with pytest.raises(ValueError, match=r"median: there is no element to choose along axis 0 in shape \(0, 3\)"):
        mv.median(np.zeros((0, 3)), 0)
    with pytest.raises(ValueError, match=r"max: there is no element to choose in shape \(0,\)"):
        mv.max(Tensor(np.zeros(0)))
    assert mv.sort(np.zeros((0, 3)), 0).values.shape == (0, 3)


def test_distinct_values():
    x = mv.tensor([[3, 1, 3], [2, 1, 3]])
    values, inverse, counts = x.unique(return_inverse=True, return_counts=True)
    assert (values.tolist(), inverse.tolist(), counts.tolist()) == ([1, 2, 3], [[2, 0, 2], [1, 0, 2]], [2, 1, 3])
    rows = mv.tensor([[1, 2], [0, 5], [1, 2]])
    values, inverse = mv.unique(rows, return_inverse=True, dim=0)
    assert (values.tolist(), inverse.tolist()) == ([[0, 5], [1, 2]], [1, 0, 1])
    np.testing.assert_array_equal(mv.unique(np.array([NAN, 1.0, NAN])), [1, NAN, NAN])
    assert not leaf([1.0, 1.0]).unique().requires_grad
