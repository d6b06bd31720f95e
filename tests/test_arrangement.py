"""Arranging tensors under torch's names: what each means, on Tensors and arrays alike, and what each refuses."""

from __future__ import annotations

import numpy as np
import pytest

import minivision as mv
from minivision import nn

X = np.arange(24.0).reshape(2, 3, 4)


def flat(number):
    """The place of an element of X from its number in row order."""
    return number // 12, number // 4 % 3, number % 4


# name -> (the call on a tensor, the shape of its result, where torch says that the element at a place of it comes from)
MEANINGS = {
    "reshape": (lambda x: x.reshape(4, -1), (4, 6), lambda i, j: flat(6 * i + j)),
    "view, a tuple": (lambda x: x.view((24,)), (24,), flat),
    "view_as": (lambda x: x.view_as(mv.zeros(6, 4)), (6, 4), lambda i, j: flat(4 * i + j)),
    "flatten": (lambda x: mv.flatten(x, 1), (2, 12), lambda i, j: (i, j // 4, j % 4)),
    "flatten in the middle": (lambda x: x.flatten(0, -2), (6, 4), lambda i, j: (i // 3, i % 3, j)),
    "ravel": (lambda x: x.ravel(), (24,), flat),
    "unflatten": (lambda x: x.unflatten(-1, (2, -1)), (2, 3, 2, 2), lambda i, j, k, l: (i, j, 2 * k + l)),
    "permute": (lambda x: mv.permute(x, (2, 0, 1)), (4, 2, 3), lambda i, j, k: (j, k, i)),
    "transpose": (lambda x: x.transpose(0, -1), (4, 3, 2), lambda i, j, k: (k, j, i)),
    "mT": (lambda x: x.mT, (2, 4, 3), lambda i, j, k: (i, k, j)),
    "t": (lambda x: x[0].t(), (4, 3), lambda i, j: (0, j, i)),
    "movedim": (lambda x: x.movedim((0, 1), (-1, 0)), (3, 4, 2), lambda i, j, k: (k, i, j)),
    "unsqueeze": (lambda x: x.unsqueeze(-1), (2, 3, 4, 1), lambda i, j, k, l: (i, j, k)),
    "squeeze": (lambda x: x[:1].squeeze(), (3, 4), lambda i, j: (0, i, j)),
    "squeeze of several": (lambda x: x[:1, None].squeeze((0, 1, -1)), (3, 4), lambda i, j: (0, i, j)),
    "flip": (lambda x: mv.flip(x, (0, 2)), (2, 3, 4), lambda i, j, k: (1 - i, j, 3 - k)),
    "rot90": (lambda x: x[0].rot90(), (4, 3), lambda i, j: (0, j, 3 - i)),
    "rot90, half a turn": (lambda x: mv.rot90(x[0], 2), (3, 4), lambda i, j: (0, 2 - i, 3 - j)),
    "rot90 back": (lambda x: x[0].rot90(-1), (4, 3), lambda i, j: (0, 2 - j, i)),
    "roll of two axes": (lambda x: x.roll((1, -1), (1, 2)), (2, 3, 4), lambda i, j, k: (i, (j - 1) % 3, (k + 1) % 4)),
    "roll in row order": (lambda x: mv.roll(x, 5), (2, 3, 4), lambda i, j, k: flat((12 * i + 4 * j + k - 5) % 24)),
    "expand": (lambda x: x[:, :1].expand(2, -1, 3, 4), (2, 2, 3, 4), lambda i, j, k, l: (j, 0, l)),
    "expand_as": (lambda x: x[:1].expand_as(x), (2, 3, 4), lambda i, j, k: (0, j, k)),
    "repeat": (lambda x: x[0].repeat(2, 1, 2), (2, 3, 8), lambda i, j, k: (0, j, k % 4)),
    "tile": (lambda x: mv.tile(x, (2,)), (2, 3, 8), lambda i, j, k: (i, j, k % 4)),
    "narrow": (lambda x: x.narrow(1, -2, 2), (2, 2, 4), lambda i, j, k: (i, j + 1, k)),
    "select": (lambda x: mv.select(x, 2, -1), (2, 3), lambda i, j: (i, j, 3)),
    "tril": (lambda x: x.tril(-1), (2, 3, 4), lambda i, j, k: (i, j, k) if k <= j - 1 else None),
    "triu": (lambda x: mv.triu(x, 1), (2, 3, 4), lambda i, j, k: (i, j, k) if k >= j + 1 else None),
    "cat": (lambda x: mv.cat([x, x[:, :1]], dim=-2), (2, 4, 4), lambda i, j, k: (i, j % 3, k)),
    "cat beside (0,)": (lambda x: mv.cat([mv.zeros(0, dtype=np.float64), x]), (2, 3, 4), lambda i, j, k: (i, j, k)),
    "stack": (lambda x: mv.stack([x[0], x[1]], dim=-1), (3, 4, 2), lambda i, j, k: (k, i, j)),
}


@pytest.mark.parametrize("name", MEANINGS)
def test_the_elements_are_where_torch_has_them(name):
    call, shape, source = MEANINGS[name]
    x = mv.tensor(X, requires_grad=True)
    y = call(x)
    assert y.shape == shape
    y.backward(np.ones(shape))
    counts = np.zeros(X.shape)
    for place in np.ndindex(shape):
        found = source(*place)
        assert y.data[place] == (0.0 if found is None else X[found])
        if found is not None:
            counts[found] += 1.0
    np.testing.assert_array_equal(x.grad.data, counts)  # each element counts as often as it is there


@pytest.mark.parametrize(
    ("call", "shapes"),
    [
        (lambda x: mv.split(x, 2, 1), [(2, 2, 4), (2, 1, 4)]),
        (lambda x: x.split([1, 0, 2], dim=-2), [(2, 1, 4), (2, 0, 4), (2, 2, 4)]),
        (lambda x: x.chunk(3, dim=2), [(2, 3, 2), (2, 3, 2)]),
        (lambda x: mv.chunk(x, 2, 2), [(2, 3, 2), (2, 3, 2)]),
        (lambda x: x[:, :0].chunk(2, 1), [(2, 0, 4), (2, 0, 4)]),
        (lambda x: x.unbind(1), [(2, 4)] * 3),
    ],
)
def test_parts_have_torchs_shapes_and_make_the_whole(call, shapes):
    parts = call(mv.tensor(X))
    assert [part.shape for part in parts] == shapes
    held = sorted(value for part in parts for value in part.data.flat)
    assert held == ([] if parts[0].shape[1] == 0 else list(X.flat))


@pytest.mark.parametrize("indexing", ["ij", "xy"])
def test_meshgrid(indexing):
    rows, columns = mv.meshgrid(mv.arange(2), mv.arange(3), indexing=indexing)
    for i in range(2):
        for j in range(3):
            place = (i, j) if indexing == "ij" else (j, i)
            assert (rows[place].item(), columns[place].item()) == (i, j)


def test_triangles_keep_nan_out_and_the_element_type():
    x = np.full((2, 2), np.nan)
    np.testing.assert_array_equal(mv.tril(x), [[np.nan, 0.0], [np.nan, np.nan]])
    for dtype in (np.float32, np.int64, bool):
        assert mv.triu(mv.tensor(np.ones((2, 3), dtype))).dtype == dtype


def test_views_share_memory():
    x = mv.tensor(X)
    for y in (x.permute(2, 0, 1), x.reshape(6, 4), x.unsqueeze(0), x.expand(5, 2, 3, 4), x.flip(0), x.narrow(0, 1, 1), x.mT):
        assert np.shares_memory(x.data, y.data)


def test_functions_take_plain_arrays():
    for result in (mv.roll(X, 1, 0), mv.cat([X, X]), mv.flatten(X), mv.split(X, 2, 1)[0], mv.triu(X), mv.permute(X, (1, 0, 2))):
        assert isinstance(result, np.ndarray)


WRONG = {
    "axis too large": (lambda x: x.transpose(0, 3), r"axis 3 should lie between -3 and 2, as the shape is \(2, 3, 4\)"),
    "axis too small": (lambda x: x.flatten(-4), "flatten: axis -4 should lie"),
    "an axis twice": (lambda x: x.permute(0, 0, 1), r"permute: an axis is named twice in \(0, 0, 1\)"),
    "too few axes": (lambda x: x.permute(1, 0), "all 3 axes of"),
    "unsqueeze beyond": (lambda x: x.unsqueeze(5), "axis 5 should lie between -4 and 3"),
    "reshape": (lambda x: x.reshape(5, 5), "reshape: cannot reshape"),
    "unflatten": (lambda x: x.unflatten(1, (2, 2)), r"axis 1 has 3 elements, not \(2, 2\)"),
    "flatten backwards": (lambda x: x.flatten(2, 0), "start_dim 2 lies behind end_dim 0"),
    "expand": (lambda x: x.expand(2, 3, 5), "broadcast"),
    "expand of a new axis to -1": (lambda x: x.expand(-1, 2, 3, 4), "a size, or -1 to keep one"),
    "repeat": (lambda x: x.repeat(2, 2), r"a number from 0 is needed for each axis, got \(2, 2\)"),
    "split": (lambda x: x.split([1, 1], 1), r"split sizes \[1, 1\] do not add up to 3, the size of axis 1"),
    "split by 0": (lambda x: x.split(0), "at least one element, got 0"),
    "chunk": (lambda x: x.chunk(0), "at least one stretch"),
    "narrow": (lambda x: x.narrow(2, 3, 2), r"2 elements from 3 on do not lie in axis 2 of \(2, 3, 4\)"),
    "roll": (lambda x: x.roll((1, 2), (0,)), "as many shifts as axes"),
    "t of three axes": (lambda x: x.t(), r"a matrix or a vector is transposed, got shape \(2, 3, 4\)"),
    "tril of a vector": (lambda x: x[0, 0].tril(), "tril: a matrix has two axes, got 1"),
    "movedim": (lambda x: x.movedim((0, 1), (0,)), "as many axes should come as go"),
    "stack": (lambda x: mv.stack([x, x[0]]), r"tensors of one shape are needed, got \[\(2, 3, 4\), \(3, 4\)\]"),
    "cat of nothing": (lambda x: mv.cat([]), "at least one tensor"),
    "cat": (lambda x: mv.cat([x, x[:, :2]]), "concatenate: "),
    "meshgrid": (lambda x: mv.meshgrid(x), "vectors and indexing"),
    "meshgrid's indexing": (lambda x: mv.meshgrid(x[0, 0], indexing="yx"), "got 'yx'"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(name):
    call, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        call(mv.tensor(X))


@pytest.mark.parametrize("size", [2**48, 2**62, 2**63 - 1])
def test_sizes_beyond_memory_are_refused(size):
    x = mv.ones(2)
    for call in (lambda: x.repeat(size), lambda: x.reshape(size), lambda: mv.tile(x, (size, size)), lambda: x.expand(size)):
        with pytest.raises((ValueError, MemoryError)):
            call()
    assert x.roll(size, 0).tolist() == [1.0, 1.0]
    assert x.split(size)[0].shape == (2,)


def test_layers():
    x = mv.tensor(X)
    assert nn.Flatten()(x).shape == (2, 12)
    assert nn.Flatten(0, 1)(X).shape == (6, 4)
    assert nn.Unflatten(1, (3, 1))(x).shape == (2, 3, 1, 4)
    assert nn.Unflatten(1, (3, 1)).extra_repr() == "dim=1, unflattened_size=(3, 1)"
