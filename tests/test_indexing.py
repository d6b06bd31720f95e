"""Taking by number or mask and putting back, under torch's names."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import minivision as mv
from minivision.tape import METHODS

F = mv.functional
X = np.arange(12.0).reshape(3, 4)
COLUMNS = np.array([[0, 3], [1, 1], [2, 0]])


def test_gather_and_scatter_by_torchs_formulas():
    x, y = mv.tensor(X), np.zeros((3, 4))
    picked = mv.gather(x, 1, mv.tensor(COLUMNS))
    for i in range(3):
        for j in range(2):
            assert picked[i, j].item() == X[i, COLUMNS[i, j]]
            y[i, COLUMNS[i, j]] += picked[i, j].item()
    np.testing.assert_array_equal(mv.scatter_add(mv.zeros(3, 4, dtype=np.float64), 1, COLUMNS, picked).data, y)
    along_rows = x.gather(0, np.array([[2, 0]]))  # smaller than x along the other axis too
    assert along_rows.tolist() == [[X[2, 0], X[0, 1]]]


def test_scatter_sets_values_and_the_last_of_repeated_ones():
    x, source = mv.tensor(X, requires_grad=True), mv.tensor([[10.0, 20.0]], dtype=np.float64, requires_grad=True)
    y = x.scatter(1, [[1, 1]], source)
    assert y.tolist() == [[0.0, 20.0, 2.0, 3.0], *X[1:].tolist()]
    y.backward(np.arange(1.0, 13.0).reshape(3, 4))
    assert source.grad.tolist() == [[0.0, 2.0]], "what was overwritten counts for nothing"
    assert x.grad[0].tolist() == [1.0, 0.0, 3.0, 4.0]
    assert mv.scatter(mv.zeros(2, 2), 0, [[1, 0]], 5.0).tolist() == [[0.0, 5.0], [5.0, 0.0]]


def test_slices_along_an_axis():
    x, more = mv.tensor(X), mv.ones(3, 2, dtype=np.float64)
    assert mv.index_select(x, 1, [3, 0, 3]).tolist() == [[3, 0, 3], [7, 4, 7], [11, 8, 11]]
    assert x.index_add(1, [2, 2], more, alpha=3).tolist() == (X + np.array([0, 0, 6, 0])).tolist()
    assert mv.index_copy(x, 1, [3, 0], more).tolist() == [[1, 1, 2, 1], [1, 5, 6, 1], [1, 9, 10, 1]]
    assert x.index_fill(0, [1], -1.0)[:, 0].tolist() == [0.0, -1.0, 8.0]


def test_take_along_dim_broadcasts():
    order = mv.tensor(X).take_along_dim(np.array([[1, 0, 2, 3]]), 1)
    assert order[:, :2].tolist() == [[1, 0], [5, 4], [9, 8]]
    assert mv.take_along_dim(mv.tensor(X), np.array([[5, 11]])).tolist() == [5.0, 11.0]


def test_masks():
    x = mv.tensor(X, requires_grad=True)
    mask = X % 5 == 0
    picked = mv.masked_select(x, mv.tensor(mask))
    assert picked.tolist() == [0.0, 5.0, 10.0]
    picked.backward(np.array([1.0, 2.0, 3.0]))
    assert x.grad.data[mask].tolist() == [1.0, 2.0, 3.0]
    assert x.grad.data.sum() == 6.0
    assert mv.masked_fill(x, mask, -np.inf)[0].tolist() == [-np.inf, 1.0, 2.0, 3.0]
    assert mv.tensor([1.0, 2.0]).masked_select(np.array([[True], [False]])).tolist() == [1.0, 2.0]
    assert mv.nonzero(mv.tensor(mask)).tolist() == [[0, 0], [1, 1], [2, 2]]
    assert [part.tolist() for part in mv.tensor(mask).nonzero(as_tuple=True)] == [[0, 1, 2]] * 2


def test_diagonals():
    x = mv.tensor(X)
    assert mv.diagonal(x, 1).tolist() == [1.0, 6.0, 11.0]
    assert mv.diag(x, -1).tolist() == [4.0, 9.0]
    assert mv.diag(mv.tensor([1.0, 2.0]), 1).tolist() == [[0, 1, 0], [0, 0, 2], [0, 0, 0]]
    assert mv.diag_embed(x, dim1=0, dim2=2).shape == (4, 3, 4)
    assert mv.diagonal(mv.diag_embed(x, -2), -2, -2, -1).tolist() == X.tolist()
    assert mv.diagonal(x, 9).shape == (0,)


def test_windows_along_an_axis():
    x = mv.tensor(np.arange(7.0), requires_grad=True)
    y = x.unfold(0, 3, 2)
    assert y.tolist() == [[0, 1, 2], [2, 3, 4], [4, 5, 6]]
    y.sum().backward()
    assert x.grad.tolist() == [1, 1, 2, 1, 2, 1, 1]
    assert mv.tensor(X).unfold(0, 2, 1).shape == (2, 4, 2)


def test_repeat_interleave():
    assert mv.repeat_interleave(mv.tensor([1.0, 2.0]), 2).tolist() == [1, 1, 2, 2]
    assert mv.tensor(X).repeat_interleave([0, 2, 1], 0)[:, 0].tolist() == [4, 4, 8]


def test_one_hot():
    assert F.one_hot([[1, 0]], 3).tolist() == [[[0, 1, 0], [1, 0, 0]]]
    assert F.one_hot(mv.tensor([2, 0])).shape == (2, 3)
    assert F.one_hot(np.zeros((2, 0), int), 4).shape == (2, 0, 4)


def test_every_kind_of_index_on_the_tape():
    index = [
        1, (slice(None), -1), (..., None), ([2, 0], slice(None, None, -2)), mv.tensor([0, 0]), X > 3, mv.tensor(X > 3), [], True,
        (mv.tensor(1), mv.tensor([1, 1])), (None, [0, 2], None, 1),
    ]  # fmt: skip
    for part in index:
        x = mv.tensor(X, requires_grad=True)
        plain = tuple(p.data if isinstance(p, mv.Tensor) else p for p in (part if isinstance(part, tuple) else (part,)))
        expected = X[tuple(np.array(p, int) if isinstance(p, list) else p for p in plain)]
        y = x[part]
        np.testing.assert_array_equal(y.data, expected)
        y.backward(np.ones(y.shape))
        np.testing.assert_array_equal(x.grad.data, [[np.count_nonzero(expected == value) for value in row] for row in X])


OUT_OF_RANGE = {
    "gather": (lambda x: x.gather(1, COLUMNS + 1), r"index 4 at \(0, 1\) is out of bounds, it should lie between 0 and 3"),
    "a negative number": (lambda x: x.index_select(0, [0, -1]), r"index_select: index -1 at \(1,\)"),
    "scatter": (lambda x: x.scatter(0, [[3]], 1.0), "scatter: index 3"),
    "index_add": (lambda x: x.index_add(0, [3], x[:1]), "index_add: index 3"),
    "one_hot": (lambda x: F.one_hot([0, 5], 3), r"one_hot: class 5 at \(1,\) is out of bounds, it should lie between 0 and 2"),
    "one_hot of nothing": (lambda x: F.one_hot([]), "the number of classes must be given"),
    "an index of other axes": (lambda x: x.gather(1, [0, 1]), "the index should be no larger than x"),
    "an index larger than src": (lambda x: x.scatter(1, COLUMNS, x[:2]), r"src \(2, 4\)"),
    "an index of two axes": (lambda x: x.index_select(0, [[0]]), "a list of numbers, got shape"),
    "beyond an axis": (lambda x: x[3], "getitem: index 3 is out of bounds"),
    "too many axes": (lambda x: x[0, 0, 0], "getitem: too many indices"),
    "unfold": (lambda x: x.unfold(1, 5, 1), "windows of 5 elements, 1 apart, should fit axis 1"),
    "repeats": (lambda x: x.repeat_interleave([1, 2], 0), "or 3 of them"),
    "diag": (lambda x: x[None].diag(), "a vector or a matrix is needed, got 3 axes"),
    "an array to fill with": (lambda x: x.masked_fill(X > 1, [1.0, 2.0]), "the value should be one number"),
}  # fmt: skip


@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_what_is_out_of_range_is_named(name):
    call, message = OUT_OF_RANGE[name]
    with pytest.raises(ValueError, match=message):
        call(mv.tensor(X))


def test_other_kinds_of_number_are_refused():
    x = mv.tensor(X)
    with pytest.raises(TypeError, match=r"gather: index should hold whole numbers, got float64; convert it with \.long"):
        x.gather(1, COLUMNS.astype(float))
    with pytest.raises(TypeError, match="the mask should be boolean, got int64"):
        x.masked_fill(COLUMNS, 0.0)


# ------------------------------------------------------------------------------------------------------ in place

IN_PLACE = {
    "add_": lambda x: x.add_(2.0, alpha=3),
    "sub_": lambda x: x.sub_(1.0),
    "mul_": lambda x: x.mul_(mv.tensor(X)),
    "div_": lambda x: x.div_(2.0),
    "clamp_": lambda x: x.clamp_(2.0, 5.0),
    "masked_fill_": lambda x: x.masked_fill_(X > 4, 0.0),
    "fill_": lambda x: x.fill_(7.0),
    "zero_": lambda x: x.zero_(),
    "copy_": lambda x: x.copy_(X + 1.0),
    "tril_": lambda x: x.tril_(),
    "index_add_": lambda x: x.index_add_(0, [0, 0], mv.tensor(X[:2])),
    "scatter_": lambda x: x.scatter_(1, COLUMNS, 9.0),
    "index_fill_": lambda x: x.index_fill_(1, [0], 3.0),
    "normal_": lambda x: x.normal_(),
    "bernoulli_": lambda x: x.bernoulli_(0.5),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_forms_write_this_memory_and_are_counted(name):
    x = mv.tensor(X)
    memory, version = x.data, x.version[0]
    assert IN_PLACE[name](x) is x
    assert x.data is memory
    assert x.version[0] > version


def test_in_place_values():
    x = mv.zeros(2, 3).add_(2.0, alpha=3).sub_(1.0).mul_(2.0).div_(5.0)
    assert x.tolist() == [[2.0] * 3] * 2
    assert x.index_add_(0, [1, 1], mv.ones(2, 3)).tolist() == [[2.0] * 3, [4.0] * 3]
    assert x.scatter_(1, [[0], [2]], -1.0).tolist() == [[-1, 2, 2], [4, 4, -1]]
    assert mv.tensor([[4.0, 9.0]]).sqrt_().tolist() == [[2.0, 3.0]]
    assert mv.tensor([1.0, -3.0]).clamp_(min=-1.0).masked_fill_(np.array([True, False]), 8.0).tolist() == [8.0, -1.0]
    assert (mv.zeros(1000).uniform_(2.0, 3.0).data >= 2.0).all()


@pytest.mark.parametrize("name", sorted(set(IN_PLACE) - {"fill_", "zero_", "normal_", "bernoulli_"}))
def test_in_place_forms_refuse_what_gradients_flow_through(name):
    """A silent copy would leave x as it was; a silent write would make earlier gradients wrong."""
    leaf = mv.tensor(X, requires_grad=True)
    for x in (leaf, leaf * 2.0):
        with pytest.raises(mv.GraphError):
            IN_PLACE[name](x)
    with mv.no_grad():
        IN_PLACE[name](leaf)
    with pytest.raises(mv.GraphError):
        mv.tensor(X).copy_(leaf)


def test_every_in_place_form_has_one_that_is_not():
    """The table of names in in_place.py holds no name that no operation has."""
    names = [name for name, function in METHODS.items() if getattr(function, "__qualname__", "").startswith("_in_place.")]
    assert len(names) > 20
    assert [name for name in names if name[:-1] not in METHODS] == []


@pytest.mark.parametrize("order", [*itertools.permutations(range(4))], ids=str)
def test_parts_and_the_whole_add_up_in_any_order(order):
    x = mv.Tensor(np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2), requires_grad=True)
    uses = [
        lambda t: (t[0] * 2.0).sum(),
        lambda t: (t[1:, 1] * 3.0).sum(),
        lambda t: (t * 5.0).sum(),
        lambda t: t[0, :, ::2].sum(),
    ]
    expected = np.full(x.shape, 5.0)
    expected[0] += 2.0
    expected[1:, 1] += 3.0
    expected[0, :, ::2] += 1.0
    y = x * 1.0
    sum(uses[i](y).sum() for i in order).backward()
    np.testing.assert_array_equal(x.grad.numpy(), expected)


def test_a_part_taken_of_a_leaf_gives_it_a_grad_of_its_own():
    x, dy = mv.Tensor(np.zeros((2, 3)), requires_grad=True), np.ones(3)
    x[1].backward(dy)
    x.grad[...] = 4.0
    assert isinstance(x.grad.numpy(), np.ndarray)
    np.testing.assert_array_equal(dy, 1.0)
    np.testing.assert_array_equal(mv.grad(x[0].sum(), x).numpy(), [[1.0] * 3, [0.0] * 3])
