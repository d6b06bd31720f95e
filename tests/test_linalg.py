"""Small linear algebra: identities that define each function, singular and repeated cases, what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minivision as mv
from minivision.errors import DtypeError, ShapeError
from minivision.tape import Tensor

L = mv.linalg


def rng():
    return np.random.default_rng(7)


def regular(*shape):
    return rng().standard_normal(shape) + 3.0 * np.eye(shape[-1])


def symmetric(*shape):
    a = rng().standard_normal(shape)
    return a @ np.swapaxes(a, -1, -2) + np.eye(shape[-1])


def leaf(array):
    return mv.tensor(np.asarray(array, np.float64), requires_grad=True)


BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@BOTH
@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_each_function_is_what_defines_it(batch, dtype):
    a, s = regular(*batch, 4, 4).astype(dtype), symmetric(*batch, 4, 4).astype(dtype)
    close = {"rtol": 0, "atol": 200 * float(np.finfo(dtype).eps) * np.abs(s).max()}
    unit = np.broadcast_to(np.eye(4), a.shape)
    np.testing.assert_allclose(L.inv(a) @ a, unit, **close)
    np.testing.assert_allclose(a @ L.solve(a, s), s, **close)
    lower = L.cholesky(s)
    np.testing.assert_allclose(lower @ np.swapaxes(lower, -1, -2), s, **close)
    np.testing.assert_array_equal(lower, np.tril(lower))
    np.testing.assert_array_equal(L.cholesky(s, upper=True), np.swapaxes(lower, -1, -2))
    w, v = L.eigh(s)
    np.testing.assert_allclose(s @ v, v * w[..., None, :], **close)
    np.testing.assert_allclose(np.swapaxes(v, -1, -2) @ v, unit, **close)
    assert (np.diff(w) > 0).all()
    np.testing.assert_array_equal(L.eigvalsh(s), w)
    sign, log = L.slogdet(a)
    np.testing.assert_allclose(sign * np.exp(log), L.det(a), rtol=1e3 * float(np.finfo(dtype).eps))
    np.testing.assert_allclose((L.svdvals(a) ** 2).sum(-1), (a * a).sum((-1, -2)), rtol=1e2 * float(np.finfo(dtype).eps))
    assert {x.dtype for x in (L.inv(a), L.solve(a, s), lower, w, v, sign, log, L.det(a), L.svdvals(a))} == {np.dtype(dtype)}


def test_the_shapes_of_a_right_side():
    a = regular(2, 3, 3)
    x = rng().standard_normal((2, 3))
    np.testing.assert_allclose(L.solve(a, np.einsum("bij,bj->bi", a, x)), x, rtol=1e-12)  # a batch of vectors
    np.testing.assert_allclose(L.solve(a[0], a[0] @ x[1]), x[1], rtol=1e-12)  # one vector
    one_for_all = L.solve(a, x.T)  # one matrix (3, 2) for the batch
    np.testing.assert_allclose(a @ one_for_all, np.broadcast_to(x.T, (2, 3, 2)), rtol=1e-12)
    left = L.solve(a, np.stack([x, x]), left=False)
    np.testing.assert_allclose(left @ a, np.stack([x, x]), rtol=1e-12)
    with pytest.raises(ShapeError, match="left=False needs a matrix B"):
        L.solve(a[0], x[0], left=False)


def test_determinants_by_hand():
    assert L.det(np.array([[1.0, 2.0], [3.0, 4.0]])) == pytest.approx(-2)
    sign, log = L.slogdet(Tensor(np.array([[0.0, 2.0], [3.0, 0.0]])))
    assert (sign.item(), log.item()) == (-1.0, pytest.approx(math.log(6)))
    assert (L.det(np.zeros((0, 0))), L.det(np.zeros((2, 3, 3))).tolist()) == (1.0, [0.0, 0.0])
    assert L.slogdet(np.zeros((2, 2))).logabsdet == -math.inf


@pytest.mark.parametrize(
    ("matrix", "cofactors"),
    [
        ([[1.0, 2.0], [2.0, 4.0]], [[4, -2], [-2, 1]]),
        ([[0.0, 0.0], [0.0, 0.0]], [[0, 0], [0, 0]]),
        ([[1.0, 0, 0], [0, 2, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0], [0, 0, 2]]),
        ([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]], [[-3, 6, -3], [6, -12, 6], [-3, 6, -3]]),
        ([[0.0]], [[1]]),
    ],
)
def test_the_derivative_of_a_singular_determinant_is_the_matrix_of_cofactors(matrix, cofactors):
    a = leaf(matrix)
    np.testing.assert_allclose(mv.grad(L.det(a), a).data, cofactors, atol=1e-13)


def test_gradients_of_gradients():
    a, s, b = leaf(regular(3, 3)), leaf(symmetric(3, 3)), leaf(rng().standard_normal((3, 2)))
    for function, arguments in (
        (L.solve, (a, b)), (lambda x, y: L.solve(x, y.T, left=False), (a, b)), (L.inv, (a,)), (L.det, (a,)),
        (lambda x: L.slogdet(x).logabsdet, (a,)), (L.cholesky, (s,)), (L.eigvalsh, (s,)),
        (lambda x: L.eigh(x).eigenvectors, (s,)),
    ):  # fmt: skip
        assert mv.gradcheck(function, arguments, atol=1e-5, rtol=1e-5, second_order=True)


def test_the_square_root_of_a_matrix_by_eigh():
    """As Frechet's distance needs it: differentiable, and its square is the matrix."""
    s = leaf(symmetric(4, 4))
    w, v = L.eigh(s)
    root = (v * w.sqrt()) @ v.T
    np.testing.assert_allclose(root.data @ root.data, s.data, rtol=1e-12)
    assert mv.gradcheck(lambda x: (lambda w, v: (v * w.sqrt()) @ v.T)(*L.eigh(0.5 * (x + x.T))), s)


def test_repeated_eigenvalues():
    """Eigenvalues' sums and the projection onto a whole repeated space have derivatives; they come out finite and right."""
    q = np.linalg.qr(rng().standard_normal((4, 4)))[0]
    a = leaf(np.diag([1.0, 1.0, 4.0, 4.0]))
    w = L.eigvalsh(a)
    np.testing.assert_allclose(mv.grad(w.sum(), a).data, np.eye(4), atol=1e-14)
    weights = mv.tensor(q @ q[::-1].T)
    v = L.eigh(a).eigenvectors
    space = v[:, :2] @ v[:, :2].T  # P; dP = -(P dA (1 - P) + (1 - P) dA P) / (4 - 1)
    p = np.diag([1.0, 1.0, 0.0, 0.0])
    sym = 0.5 * (weights.data + weights.data.T)
    expected = -(p @ sym @ (np.eye(4) - p) + (np.eye(4) - p) @ sym @ p) / 3
    np.testing.assert_allclose(mv.grad((space * weights).sum(), a).data, expected, atol=1e-14)


def test_eigenvectors_have_a_sign():
    _, v = L.eigh(symmetric(5, 6, 6))
    assert (v.max(-2) >= -v.min(-2)).all()


def test_only_the_symmetric_part_counts():
    s, k = symmetric(3, 3), rng().standard_normal((3, 3))
    np.testing.assert_allclose(L.cholesky(s + k - k.T), L.cholesky(s), rtol=1e-13)
    np.testing.assert_allclose(L.eigvalsh(s + k - k.T, "U"), L.eigvalsh(s), rtol=1e-13)


def test_matrices_that_do_not_allow_it():
    singular = np.stack([np.eye(2), np.ones((2, 2))])
    for function in (L.inv, lambda a: L.solve(a, np.ones((2, 1)))):
        with pytest.raises(
            np.linalg.LinAlgError, match=r"Singular matrix among the matrices \(2, 2, 2\)(.|\n)*hint: add a small"
        ):
            function(Tensor(singular))
    with pytest.raises(np.linalg.LinAlgError, match=r"linalg.cholesky: .*not positive definite(.|\n)*should be positive"):
        L.cholesky(-np.eye(2))
    a = leaf(np.ones((2, 2)))
    log = L.slogdet(a).logabsdet
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        mv.grad(log, a)


def test_arguments_that_do_not_fit():
    for name in ("inv", "det", "slogdet", "cholesky", "eigh"):
        with pytest.raises(ShapeError, match=r"a has 3 at axis -1 \(N\), but a axis -2 has 2"):
            getattr(L, name)(np.ones((2, 3)))
        with pytest.raises(DtypeError, match=f"linalg.{name}: floating-point matrices are needed, got int64"):
            getattr(L, name)(mv.tensor([[1, 0], [0, 1]]))
    with pytest.raises(ShapeError, match=r"b has 3 at axis -2 \(N\), but a axis -2 has 2"):
        L.solve(np.eye(2), np.ones((3, 1)))
    with pytest.raises(ValueError, match='UPLO is "L" or "U"'):
        L.eigh(np.eye(2), "B")
