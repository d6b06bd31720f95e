"""Small linear algebra: batches, batches that broadcast, singular matrices, matrices that are not symmetric, sizes 1 and 0."""

from __future__ import annotations

import numpy as np

from ..case import Case, Mutant, normal


def regular(*shapes):
    """Square matrices far from singular, one array for each shape."""
    return lambda rng: tuple(rng.standard_normal(s) / max(s[-1], 1) + 1.5 * np.eye(s[-1]) for s in shapes)


def _and_normal(draw, shape):
    return lambda rng: (*draw(rng), rng.standard_normal(shape))


def with_spectrum(*shape, skew=0.0):
    """Symmetric matrices with eigenvalues 1, 2, .. n up to 1/8, plus a skew part of that size, which counts for nothing."""

    def draw(rng):
        n = shape[-1]
        q = np.linalg.qr(rng.standard_normal(shape))[0] if n else np.zeros(shape)
        w = np.arange(1.0, n + 1) + rng.uniform(-0.125, 0.125, shape[:-1])
        other = rng.standard_normal(shape)
        return ((q * w[..., None, :]) @ _swap(q) + skew * (other - _swap(other)),)

    return draw


def _swap(x):
    return np.swapaxes(x, -1, -2)


def _singular(rng):
    """Of rank 2, of rank 1, and 0."""
    first = np.array([[1.0, 2.0, 0.5], [2.0, 4.0, -1.0], [-1.0, -2.0, 3.0]])
    return (np.stack([first, np.outer([1.0, 2.0, -1.0], [0.5, 1.0, 2.0]), np.zeros((3, 3))]),)


SQUARES = {"matrix": (3, 3), "batch": (2, 2, 2), "two batch axes": (1, 2, 2, 2), "size 1": (1, 1), "size 0": (2, 0, 0)}


def _squares(draw, **more):
    return [Case(label, draw(shape), **more) for label, shape in SQUARES.items()]


CASES = {
    "solve": [
        Case("columns", _and_normal(regular((3, 3)), (3, 2))),
        Case("batch", _and_normal(regular((2, 2, 2)), (2, 2, 1))),
        Case("one a for the batch", _and_normal(regular((2, 2)), (2, 2, 1))),
        Case("one b for the batch", _and_normal(regular((2, 2, 2)), (2, 2))),
        Case("batches broadcast", _and_normal(regular((2, 1, 2, 2)), (2, 2, 1))),
        Case("size 1", _and_normal(regular((1, 1)), (1, 3))),
        Case("no columns", _and_normal(regular((2, 2)), (2, 0))),
        Case("size 0", _and_normal(regular((0, 0)), (0, 2))),
    ],
    "inv": _squares(regular),
    "det": [
        *_squares(regular),
        Case("singular", _singular, smooth=False),
        Case("4 by 4", normal((4, 4))),
    ],
    "logabsdet": [
        *_squares(regular, complex_step=False),
        Case("det < 0", lambda rng: (-regular((3, 3))(rng)[0],), complex_step=False),
    ],
    "cholesky": [
        *_squares(lambda shape: with_spectrum(*shape), complex_step=False),
        Case("not symmetric", with_spectrum(3, 3, skew=0.5), complex_step=False),
    ],
    "eigh": [
        *_squares(lambda shape: with_spectrum(*shape), complex_step=False),
        Case("not symmetric", with_spectrum(3, 3, skew=0.5), complex_step=False),
        Case("4 by 4, some negative", lambda rng: (with_spectrum(4, 4)(rng)[0] - 2.5 * np.eye(4),), complex_step=False),
    ],
    "svdvals": [
        Case("square", with_spectrum(3, 3), complex_step=False),
        Case("tall", normal((4, 2)), complex_step=False),
        Case("wide, batch", normal((2, 2, 3)), complex_step=False),
        Case("one row", normal((1, 3)), complex_step=False),
        Case("no columns", normal((2, 0)), complex_step=False),
    ],
}


def _solve(da, db):
    def vjp(dy, kept):
        a, y, shape = kept
        right = np.linalg.solve(_swap(a), dy)
        return _summed(da(right, y), a.shape), _summed(db(a, dy, right), shape)

    return vjp


def _summed(dx, shape):
    dx = np.sum(dx, axis=tuple(range(dx.ndim - len(shape))))
    return np.sum(dx, axis=tuple(i for i, n in enumerate(shape) if n == 1 and dx.shape[i] != 1), keepdims=True)


def _right_da(right, y):
    return -right @ _swap(y)


def _lower(x, diagonal):
    n = x.shape[-1]
    return x * (np.tri(n) + (diagonal - 1.0) * np.eye(n))


def _cholesky(diagonal, symmetric):
    def vjp(dy, kept):
        yt = _swap(kept[0])
        s = np.linalg.solve(yt, _swap(np.linalg.solve(yt, _lower(yt @ dy, diagonal))))
        return 0.5 * (s + _swap(s)) if symmetric else s

    return vjp


def _eigh(change):
    """The right rule with the matrix F changed, or the cotangent of the eigenvalues."""

    def vjp(dy, kept):
        w, v = kept
        gap = w[..., None, :] - w[..., :, None] + np.eye(w.shape[-1])
        inverse, dw = change((1.0 - np.eye(w.shape[-1])) / gap, dy[..., 0, :], w)
        g = v @ ((_swap(v) @ dy[..., 1:, :]) * inverse + dw[..., None, :] * np.eye(w.shape[-1])) @ _swap(v)
        return 0.5 * (g + _swap(g))

    return vjp


def _pinv(a):
    """The inverse, or where a is singular something finite in its place."""
    return np.linalg.pinv(a) if a.size else a


def _of_log(dy, a):
    return dy[..., None, None] * _swap(np.linalg.inv(a))


MUTANTS = {
    "solve": [
        Mutant("a not transposed", _solve(_right_da, lambda a, dy, right: np.linalg.solve(a, dy))),
        Mutant("sign of da", _solve(lambda right, y: right @ _swap(y), lambda a, dy, right: right)),
        Mutant("a's cotangent transposed", _solve(lambda right, y: -y @ _swap(right), lambda a, dy, right: right)),
    ],
    "inv": [
        Mutant("y not transposed", lambda dy, kept: -kept[0] @ dy @ kept[0]),
        Mutant("sign", lambda dy, kept: _swap(kept[0]) @ dy @ _swap(kept[0])),
    ],
    "det": [
        Mutant("the inverse not transposed", lambda dy, kept: (dy * np.linalg.det(kept[0]))[..., None, None] * _pinv(kept[0])),
        Mutant("not times det", lambda dy, kept: dy[..., None, None] * _swap(_pinv(kept[0]))),
        Mutant("0 where a is singular", lambda dy, kept: (dy * np.linalg.det(kept[0]))[..., None, None] * _swap(_pinv(kept[0]))),
    ],
    "logabsdet": [
        Mutant("the inverse not transposed", lambda dy, kept: dy[..., None, None] * np.linalg.inv(kept[0])),
        Mutant("log det for log |det|", lambda dy, kept: np.sign(np.linalg.det(kept[0]))[..., None, None] * _of_log(dy, kept[0])),
    ],
    "cholesky": [
        Mutant("the whole diagonal", _cholesky(1.0, True)),
        Mutant("the diagonal forgotten", _cholesky(0.0, True)),
        Mutant("not symmetric", _cholesky(0.5, False)),
    ],
    "eigh": [
        Mutant("F with the other sign", _eigh(lambda f, dw, w: (-f, dw))),
        Mutant("eigenvectors' cotangent forgotten", _eigh(lambda f, dw, w: (0.0 * f, dw))),
        Mutant("eigenvalues descending", _eigh(lambda f, dw, w: (f, dw[..., ::-1]))),
    ],
    "svdvals": [
        Mutant("ascending", lambda dy, kept: kept[0] @ (dy[..., ::-1, None] * kept[1])),
        Mutant("the largest alone", lambda dy, kept: dy[..., None, :1] * (kept[0][..., :1] @ kept[1][..., :1, :])),
    ],
}
