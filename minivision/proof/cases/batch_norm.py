"""Batch normalisation: vectors, sequences and images, with and without what may be absent, channels far from 0."""

from __future__ import annotations

import numpy as np

from ..case import Case, Mutant, normal, with_constants

RELU = {"activation": "relu"}


def _given(x, channels, residual=None):
    """x, and for evaluation a mean, a variance, a weight, a bias and perhaps a residual."""
    return lambda rng: (
        rng.standard_normal(x),
        rng.standard_normal(channels),
        rng.uniform(0.5, 2.0, channels),
        *normal((channels,), (channels,))(rng),
        None if residual is None else rng.standard_normal(residual),
    )


def _plain(*shapes):
    return with_constants(normal(*shapes), None)


CASES = {
    "batch_norm": [
        Case("vectors", _plain((4, 3), (3,), (3,))),
        Case("sequences", _plain((2, 2, 3), (2,), (2,))),
        Case("images", _plain((2, 3, 2, 2), (3,), (3,))),
        Case("volumes", _plain((2, 2, 1, 2, 2), (2,), (2,))),
        Case("one image", _plain((1, 2, 3, 2), (2,), (2,))),
        Case("one channel", _plain((2, 1, 2, 2), (1,), (1,))),
        Case("no weight, no bias", with_constants(normal((3, 2, 2)), None, None, None)),
        Case("no bias", with_constants(normal((3, 2, 2), (2,)), None, None)),
        Case("no weight", lambda rng: (rng.standard_normal((3, 2, 2)), None, rng.standard_normal(2), None)),
        Case("large eps", _plain((3, 2, 2), (2,), (2,)), {"eps": 0.5}),
        Case("far from 0", lambda rng: (rng.normal([[100.0], [-30.0]], 1.0, (4, 2, 2)), *normal((2,), (2,))(rng), None)),
        Case("a residual", normal((2, 3, 2, 2), (3,), (3,), (2, 3, 2, 2))),
        Case("relu", _plain((2, 3, 2, 2), (3,), (3,)), RELU, complex_step=False),
        Case("relu, no weight, no bias", with_constants(normal((3, 2, 4)), None, None, None), RELU, complex_step=False),
        Case("a residual and relu", normal((2, 3, 2, 2), (3,), (3,), (2, 3, 2, 2)), RELU, complex_step=False),
        Case("vectors, a residual and relu", normal((4, 3), (3,), (3,), (4, 3)), RELU, complex_step=False),
    ],
    "batch_norm_eval": [
        Case("vectors", _given((4, 3), 3)),
        Case("sequences", _given((2, 2, 3), 2)),
        Case("images", _given((2, 3, 2, 2), 3)),
        Case("no weight, no bias", lambda rng: (*_given((3, 2, 2), 2)(rng)[:3], None, None, None)),
        Case("no bias", lambda rng: (*_given((3, 2, 2), 2)(rng)[:4], None, None)),
        Case("no weight", lambda rng: (*_given((3, 2, 2), 2)(rng)[:3], None, rng.standard_normal(2), None)),
        Case("large eps", _given((2, 2, 3), 2), {"eps": 0.5}),
        Case("one element", _given((1, 1), 1)),
        Case("no images", _given((0, 2, 2, 2), 2)),
        Case("a residual", _given((2, 3, 2, 2), 3, (2, 3, 2, 2))),
        Case("relu", _given((2, 3, 2, 2), 3), RELU, complex_step=False),
        Case("a residual and relu", _given((2, 3, 2, 2), 3, (2, 3, 2, 2)), RELU, complex_step=False),
    ],
}


def _along(channels, x):
    return np.reshape(channels, (-1,) + (1,) * (x.ndim - 2))


def _rest(x):
    return tuple(i for i in range(x.ndim) if i != 1)


def _affine(h, weight, bias):
    h = h if weight is None else h * _along(weight, h)
    return h if bias is None else h + _along(bias, h)


def _gate(dy, h, weight, bias, y, activation):
    return dy if activation is None else dy * ((_affine(h, weight, bias) if y is None else y) > 0)


def _wrong(dx, gate=_gate, residual=lambda dy, g: g):
    """A VJP whose dx is `dx(g w, h, r, mean)`, where mean(x) is over a channel, with another gate or residual's gradient."""

    def vjp(dy, kept, *, activation=None, eps=1e-5, seen=None):
        x, weight, bias, m, r, y = kept
        h = (x - _along(m, x)) * _along(r, x)
        g = gate(dy, h, weight, bias, y, activation)
        scaled = g if weight is None else g * _along(weight, x)
        wrong = dx(scaled, h, _along(r, x), lambda a: np.mean(a, axis=_rest(x), keepdims=True))
        dw, db = np.sum(g * h, axis=_rest(x)), np.sum(g, axis=_rest(x))
        return wrong, None if weight is None else dw, None if bias is None else db, residual(dy, g)

    return vjp


def _right(g, h, r, mean):
    return r * (g - mean(g) - h * mean(g * h))


def _bessel(x, weight, bias, residual, *, activation=None, eps=1e-5, seen=None):
    """Normalises by the unbiased variance, but keeps what the VJP of the biased one expects."""
    m, n = np.mean(x, axis=_rest(x)), x.size // x.shape[1]
    centred = x - _along(m, x)
    v = np.mean(centred * centred, axis=_rest(x))
    y = _affine(centred / np.sqrt(_along(v, x) * n / (n - 1.0) + eps), weight, bias)
    y = y if residual is None else y + residual
    y = y if activation is None else np.maximum(y, 0.0)
    kept = y if activation is not None and residual is not None else None
    return y, (x, weight, bias, m, 1.0 / np.sqrt(v + eps), kept)


def _eval(dm, dv):
    """A VJP whose cotangents of mean and variance are dm(w, r, db) and dv(w, r, dw); the others are right."""

    def vjp(dy, kept, *, activation=None, eps=1e-5):
        x, mean, weight, bias, r, y = kept
        w, h = 1.0 if weight is None else weight, (x - _along(mean, x)) * _along(r, x)
        g = _gate(dy, h, weight, bias, y, activation)
        dw, db = np.sum(g * h, axis=_rest(x)), np.sum(g, axis=_rest(x))
        lasts = None if weight is None else dw, None if bias is None else db, g
        return g * _along(w * r, x), dm(w, r, db), dv(w, r, dw), *lasts

    return vjp


MUTANTS = {
    "batch_norm": [
        Mutant("the mean is taken for a constant", _wrong(lambda g, h, r, mean: r * (g - h * mean(g * h)))),
        Mutant("the variance is taken for a constant", _wrong(lambda g, h, r, mean: r * (g - mean(g)))),
        Mutant("variance divided by n - 1", definition=_bessel),
        Mutant("the gate forgets the bias", _wrong(_right, lambda dy, h, w, b, y, a: _gate(dy, h, w, None, y, a))),
        Mutant("the residual's gradient is not gated", _wrong(_right, residual=lambda dy, g: dy)),
    ],
    "batch_norm_eval": [
        Mutant("the mean's sign", _eval(lambda w, r, db: w * r * db, lambda w, r, dw: -0.5 * w * r * r * dw)),
        Mutant("the root's half forgotten", _eval(lambda w, r, db: -w * r * db, lambda w, r, dw: -w * r * r * dw)),
    ],
}
