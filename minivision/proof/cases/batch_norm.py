"""Batch normalisation: vectors, sequences and images, with and without weight and bias, channels far from 0."""

from __future__ import annotations

import numpy as np

from ..case import Case, Mutant, normal, with_constants


def _given(x, channels):
    """x, and for evaluation a mean, a variance, a weight and a bias."""
    return lambda rng: (
        rng.standard_normal(x),
        rng.standard_normal(channels),
        rng.uniform(0.5, 2.0, channels),
        *normal((channels,), (channels,))(rng),
    )


CASES = {
    "batch_norm": [
        Case("vectors", normal((4, 3), (3,), (3,))),
        Case("sequences", normal((2, 2, 3), (2,), (2,))),
        Case("images", normal((2, 3, 2, 2), (3,), (3,))),
        Case("volumes", normal((2, 2, 1, 2, 2), (2,), (2,))),
        Case("one image", normal((1, 2, 3, 2), (2,), (2,))),
        Case("no weight, no bias", with_constants(normal((3, 2, 2)), None, None)),
        Case("no bias", with_constants(normal((3, 2, 2), (2,)), None)),
        Case("no weight", lambda rng: (rng.standard_normal((3, 2, 2)), None, rng.standard_normal(2))),
        Case("large eps", normal((3, 2, 2), (2,), (2,)), {"eps": 0.5}),
        Case("far from 0", lambda rng: (rng.normal([[100.0], [-30.0]], 1.0, (4, 2, 2)), *normal((2,), (2,))(rng))),
    ],
    "batch_norm_eval": [
        Case("vectors", _given((4, 3), 3)),
        Case("sequences", _given((2, 2, 3), 2)),
        Case("images", _given((2, 3, 2, 2), 3)),
        Case("no weight, no bias", lambda rng: (*_given((3, 2, 2), 2)(rng)[:3], None, None)),
        Case("no bias", lambda rng: (*_given((3, 2, 2), 2)(rng)[:4], None)),
        Case("no weight", lambda rng: (*_given((3, 2, 2), 2)(rng)[:3], None, rng.standard_normal(2))),
        Case("large eps", _given((2, 2, 3), 2), {"eps": 0.5}),
        Case("one element", _given((1, 1), 1)),
        Case("no images", _given((0, 2, 2, 2), 2)),
    ],
}


def _along(channels, x):
    return np.reshape(channels, (-1,) + (1,) * (x.ndim - 2))


def _rest(x):
    return tuple(i for i in range(x.ndim) if i != 1)


def _wrong(dx):
    """A VJP whose dx is `dx(g, h, r, mean)`, where mean(x) is over a channel; weight and bias are right."""

    def vjp(dy, kept, *, eps=1e-5, seen=None):
        x, weight, m, r, has_bias = kept
        h = (x - _along(m, x)) * _along(r, x)
        g = dy if weight is None else dy * _along(weight, x)
        wrong = dx(g, h, _along(r, x), lambda a: np.mean(a, axis=_rest(x), keepdims=True))
        return wrong, None if weight is None else np.sum(dy * h, axis=_rest(x)), np.sum(dy, axis=_rest(x)) if has_bias else None

    return vjp


def _bessel(x, weight, bias, *, eps=1e-5, seen=None):
    """Normalises by the unbiased variance, but keeps what the VJP of the biased one expects."""
    m, n = np.mean(x, axis=_rest(x)), x.size // x.shape[1]
    centred = x - _along(m, x)
    v = np.mean(centred * centred, axis=_rest(x))
    y = centred / np.sqrt(_along(v, x) * n / (n - 1.0) + eps)
    y = y if weight is None else y * _along(weight, x)
    return y if bias is None else y + _along(bias, x), (x, weight, m, 1.0 / np.sqrt(v + eps), bias is not None)


def _eval(dm, dv):
    """A VJP whose cotangents of mean and variance are dm(w, r, db) and dv(w, r, dw); the others are right."""

    def vjp(dy, kept, *, eps=1e-5):
        x, mean, weight, r, has_bias = kept
        w = 1.0 if weight is None else weight
        dw, db = np.sum(dy * (x - _along(mean, x)) * _along(r, x), axis=_rest(x)), np.sum(dy, axis=_rest(x))
        return dy * _along(w * r, x), dm(w, r, db), dv(w, r, dw), None if weight is None else dw, db if has_bias else None

    return vjp


MUTANTS = {
    "batch_norm": [
        Mutant("the mean is taken for a constant", _wrong(lambda g, h, r, mean: r * (g - h * mean(g * h)))),
        Mutant("the variance is taken for a constant", _wrong(lambda g, h, r, mean: r * (g - mean(g)))),
        Mutant("variance divided by n - 1", definition=_bessel),
    ],
    "batch_norm_eval": [
        Mutant("the mean's sign", _eval(lambda w, r, db: w * r * db, lambda w, r, dw: -0.5 * w * r * r * dw)),
        Mutant("the root's half forgotten", _eval(lambda w, r, db: -w * r * db, lambda w, r, dw: -w * r * r * dw)),
    ],
}
