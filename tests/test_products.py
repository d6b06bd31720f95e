"""Products of vectors, matrices and arrays: every combination of axes against loops, einsum's rules, linear and bilinear maps."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import minivision as mv
import minivision.functional as F
from minivision import nn
from minivision.errors import ShapeError
from minivision.tape import Tensor


def normal(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def leaf(*shape):
    return mv.tensor(normal(*shape), requires_grad=True)


# ------------------------------------------------------------------------------------------------- matrix products

SHAPES = [(3,), (2, 3), (5, 2, 3), (4, 1, 2, 3)], [(3,), (3, 2), (5, 3, 2), (4, 5, 3, 2), (1, 3, 2)]


def product(a, b):
    """The matrix product by its definition, a vector being a row on the left and a column on the right."""
    rows, columns = a[None] if a.ndim == 1 else a, b[:, None] if b.ndim == 1 else b
    batch = np.broadcast_shapes(rows.shape[:-2], columns.shape[:-2])
    rows, columns = (np.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (rows, columns))
    y = np.zeros((*batch, rows.shape[-2], columns.shape[-1]))
    for p in range(rows.shape[-1]):
        y += rows[..., :, p, None] * columns[..., None, p, :]
    y = y[..., 0] if b.ndim == 1 else y
    return (y[..., 0] if b.ndim == 1 else y[..., 0, :]) if a.ndim == 1 else y


@pytest.mark.parametrize(("first", "second"), list(itertools.product(*SHAPES)))
def test_matmul_of_vectors_matrices_and_batches(first, second):
    a, b = normal(*first), normal(*second)
    expected = product(a, b)
    for y in (mv.matmul(a, b), (Tensor(a) @ Tensor(b)).data, (a @ Tensor(b)).data, Tensor(a).matmul(Tensor(b)).data):
        assert y.shape == expected.shape
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-13)
    assert mv.gradcheck(mv.matmul, (leaf(*first), leaf(*second)))


def test_products_that_name_their_axes():
    a, b, v = normal(2, 3), normal(3, 4), normal(3)
    np.testing.assert_allclose(mv.mm(a, b), product(a, b), rtol=1e-13)
    np.testing.assert_allclose(mv.mv(a, v), product(a, v), rtol=1e-13)
    assert mv.dot(v, v) == pytest.approx(math.fsum(v * v))
    np.testing.assert_allclose(mv.bmm(a[None], b[None])[0], product(a, b), rtol=1e-13)
    np.testing.assert_array_equal(mv.outer(v, a[:, 0]), [[x * y for y in a[:, 0]] for x in v])


REFUSED = {
    "mm": ((2, 3), (3,)),
    "bmm": ((2, 3), (3, 4)),
    "mv": ((3,), (3,)),
    "dot": ((2, 3), (3,)),
    "outer": ((2, 3), (3,)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_numbers_of_axes(name):
    with pytest.raises(ShapeError, match=rf"{name}: arguments of \d and \d axes are needed(.|\n)*matmul takes any"):
        getattr(mv, name)(*(normal(*shape) for shape in REFUSED[name]))


def test_products_that_do_not_fit():
    with pytest.raises(ShapeError, match=r"b has 4 at axis -2 \(K\), but a axis -1 has 3"):
        mv.matmul(normal(2, 3), normal(4))
    with pytest.raises(ShapeError, match="bmm: axis 0, the batch, should agree"):
        mv.bmm(normal(1, 2, 3), normal(2, 3, 4))
    with pytest.raises(ShapeError, match="matmul: a number is no matrix"):
        mv.matmul(normal(2), np.array(2.0))


@pytest.mark.parametrize("shape", [(), (4,), (2, 1), (2, 4)])
def test_added_products(shape):
    c, a, b = normal(*shape), normal(2, 3), normal(3, 4)
    np.testing.assert_allclose(mv.addmm(c, a, b), c + product(a, b), rtol=1e-13)
    np.testing.assert_allclose(mv.addmm(c, a, b, beta=0.5, alpha=2), 0.5 * c + 2 * product(a, b), rtol=1e-13)
    np.testing.assert_allclose(Tensor(c).baddbmm(a[None], b[None], alpha=-1).data[0], c - product(a, b), rtol=1e-13)
    np.testing.assert_allclose(mv.addmm(np.full(shape, np.nan), a, b, beta=0), product(a, b), rtol=1e-13)


# --------------------------------------------------------------------------------------------------------- einsum


def summed(equation, sizes, *arrays):
    """The sum over all values of all letters, one by one; sizes of the letters in a dict."""
    terms, output = equation.split("->")
    y = np.zeros([sizes[c] for c in output])
    for values in itertools.product(*(range(n) for n in sizes.values())):
        at = dict(zip(sizes, values, strict=True))
        factors = (x[tuple(at[c] for c in term)] for x, term in zip(arrays, terms.split(","), strict=True))
        y[tuple(at[c] for c in output)] += math.prod(map(float, factors))
    return y


EQUATIONS = [
    "ij->ji", "ij->", "ij->j", "ii->i", "ii->", "iij->ji", "iijj->ij", "ij,jk->ik", "ij,kj->ki", "bij,bjk->bik", "bij,jk->bki",
    "i,j->ij", "i,i->", "i,i->i", "ij,ij->j", "bhqd,bhkd->bhqk", "i,ijk,k->j", "ab,bc,cd->ad", "ij,kl->", "ii,ij->j",
    "ijk,kji->j", "ij,j,i->ji", "abc,cd,b->da", "i,->i",
]  # fmt: skip


@pytest.mark.parametrize("equation", EQUATIONS)
def test_einsum_is_the_sum_it_names(equation):
    sizes = {c: 2 + i % 3 for i, c in enumerate(sorted(set(equation) - set(",->")))}
    arrays = [leaf(*(sizes[c] for c in term)) for term in equation.split("->")[0].split(",")]
    expected = summed(equation, sizes, *(x.data for x in arrays))
    np.testing.assert_allclose(mv.einsum(equation, *arrays).data, expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(np.einsum(equation, *arrays).data, expected, rtol=1e-12, atol=1e-13)
    assert mv.gradcheck(lambda *xs: mv.einsum(equation, *xs), arrays)


def test_einsum_implicit_output_and_ellipsis():
    a, b = normal(4, 2, 3), normal(3, 5)
    np.testing.assert_allclose(mv.einsum("bA,Ac", a[0], b), (a[0] @ b), rtol=1e-13)  # b, c: A stands twice
    np.testing.assert_array_equal(mv.einsum("ba", a[0]), a[0].T)  # alphabetical order
    np.testing.assert_array_equal(mv.einsum("ii", a[0, :, :2]), np.trace(a[0, :, :2]))
    np.testing.assert_allclose(mv.einsum("...i, i j -> ...j", a, b), a @ b, rtol=1e-13)
    np.testing.assert_allclose(mv.einsum("i...,i...->...", a, a), (a * a).sum(0), rtol=1e-13)
    np.testing.assert_allclose(mv.einsum("...ij->...", a), a.sum((1, 2)), rtol=1e-13)
    np.testing.assert_allclose(mv.einsum("...i->i", a), a.sum((0, 1)), rtol=1e-13)
    np.testing.assert_allclose(mv.einsum("...,...", a, a[0]), a * a[0], rtol=1e-13)
    np.testing.assert_allclose(mv.einsum("...ij,...jk", a, normal(3, 3)), a @ normal(3, 3), rtol=1e-13)


def test_einsum_broadcasts_size_1():
    a, b = normal(2, 1), normal(3, 4)
    np.testing.assert_allclose(mv.einsum("ij,jk->ik", a, b), a * b.sum(0), rtol=1e-13)
    np.testing.assert_allclose(mv.einsum("ij,ik->ijk", normal(1, 2), b), normal(1, 2)[:, :, None] * b[:, None], rtol=1e-13)
    np.testing.assert_allclose(
        mv.einsum("...i,...i->...", normal(3, 1, 4), normal(2, 4)), (normal(3, 1, 4) * normal(2, 4)).sum(-1)
    )


def test_einsum_makes_one_matrix_product_of_a_matrix_product():
    a, b = leaf(2, 4, 3), leaf(2, 3, 5)
    assert mv.einsum("bij,bjk->bik", a, b).node.op.name == "matmul"
    assert mv.einsum("ij,jk", a[0], b[0]).node.op.name == "matmul"


@pytest.mark.parametrize(
    ("equation", "message"),
    [
        ("ij->ik", "names 'k' twice, or no operand does"),
        ("ij->ii", "names 'i' twice"),
        ("ij,jk->ik", "has 2 terms, but 1 operands came"),
        ("ijk->i", r"'ijk' in 'ijk->i' names 3 axes, but the operand has 2"),
        ("i->i", "names 1 axes"),
        ("i.j", "letters and at most one"),
        ("i1->i", "letters and at most one"),
        ("ij->i->j", "letters and at most one"),
        ("ii->i", "'i' has size 2 and size 3"),
    ],
)
def test_equations_that_do_not_fit(equation, message):
    with pytest.raises(ValueError, match=message):
        mv.einsum(equation, normal(2, 3))


def test_einsum_names_the_letter_that_disagrees():
    with pytest.raises(ShapeError, match=r"einsum: 'j' has size 3 and size 4(.|\n)*\(2, 3\), \(4, 5\)"):
        mv.einsum("ij,jk->ik", normal(2, 3), normal(4, 5))
    with pytest.raises(ShapeError, match=r"einsum: 'i' stands for axes of size \[1, 3\] of one operand"):
        mv.einsum("ii->i", normal(1, 3))
    with pytest.raises(TypeError, match="the equation comes first"):
        mv.einsum(normal(2), "i->i")


# ----------------------------------------------------------------------------------------- tensordot, Kronecker's


def test_tensordot():
    a, b = leaf(2, 3, 4), leaf(4, 3, 5)
    sizes = {"a": 2, "b": 3, "c": 4, "d": 3, "e": 5}
    np.testing.assert_allclose(mv.tensordot(a, b, 1).data, summed("abc,cde->abde", sizes, a.data, b.data), rtol=1e-12)
    pairs = mv.tensordot(a, b, ([1, -1], [1, 0]))
    np.testing.assert_allclose(pairs.data, summed("abc,cbe->ae", {c: sizes[c] for c in "abce"}, a.data, b.data), rtol=1e-12)
    np.testing.assert_allclose(mv.tensordot(normal(2), normal(3), 0), mv.outer(normal(2), normal(3)))
    assert mv.gradcheck(lambda x, y: mv.tensordot(x, y, ([1, 2], [1, 0])), (a, b))
    with pytest.raises(ShapeError, match=r"axes \(2,\) and \(1,\) have other sizes"):
        mv.tensordot(a, b, ([2], [1]))
    with pytest.raises(ValueError, match="dims lies between 0 and 3 for these arrays, got 4"):
        mv.tensordot(a, b, 4)


@pytest.mark.parametrize("shapes", [((2, 3), (3, 2)), ((2,), (3, 4)), ((2, 1, 2), (3,)), ((), (2, 2))])
def test_kronecker(shapes):
    a, b = (leaf(*shape) for shape in shapes)
    y, n = mv.kron(a, b), max(a.ndim, b.ndim)
    long_a, long_b = (x.data.reshape((1,) * (n - x.ndim) + x.shape) for x in (a, b))
    for place in np.ndindex(y.shape):
        i, j = zip(*(divmod(p, m) for p, m in zip(place, long_b.shape, strict=True)), strict=True)
        assert y.data[place] == long_a[i] * long_b[j]
    assert mv.gradcheck(mv.kron, (a, b))


# -------------------------------------------------------------------------------------------------- linear, bilinear


def test_linear_with_one_output():
    x, w, b = leaf(2, 4, 3), leaf(3), leaf()
    np.testing.assert_allclose(F.linear(x, w, b).data, (x.data * w.data).sum(-1) + b.data, rtol=1e-13)
    assert mv.gradcheck(F.linear, (x, w, b))


def test_bilinear():
    x, y, w, b = leaf(5, 2, 3), leaf(5, 2, 4), leaf(6, 3, 4), leaf(6)
    expected = summed("noi,fij,noj->nof", {"n": 5, "o": 2, "i": 3, "f": 6, "j": 4}, x.data, w.data, y.data) + b.data
    np.testing.assert_allclose(F.bilinear(x, y, w, b).data, expected, rtol=1e-12)
    np.testing.assert_allclose(F.bilinear(x[0, 0], y[0, 0], w).data, expected[0, 0] - b.data, rtol=1e-12, atol=1e-13)
    assert mv.gradcheck(F.bilinear, (leaf(2, 3), leaf(2, 4), leaf(3, 3, 4), leaf(3)), second_order=True)
    for wrong in (F.bilinear, lambda *a: F.bilinear(a[0][:4], a[1], w)):
        with pytest.raises(ShapeError, match=r"bilinear: the shapes do not fit(.|\n)*input1\(\*, I\)"):
            wrong(x, y, leaf(6, 4, 3))


def test_bilinear_layer():
    layer = nn.Bilinear(3, 4, 2)
    assert {name: p.shape for name, p in layer.state_dict().items()} == {"weight": (2, 3, 4), "bias": (2,)}
    assert all(np.abs(p.data).max() <= 1 / math.sqrt(3) for p in layer.parameters())
    x, y = mv.tensor(normal(5, 3)).float(), mv.tensor(normal(5, 4)).float()
    np.testing.assert_array_equal(layer(x, y).data, F.bilinear(x, y, layer.weight, layer.bias).data)
    assert nn.Bilinear(3, 4, 2, bias=False).bias is None
    assert repr(layer) == "Bilinear(in1_features=3, in2_features=4, out_features=2, bias=True)"
