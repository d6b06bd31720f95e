"""Layer, RMS and local response normalisation: with and without weight and bias, any leading axes, rows far from 0."""

from __future__ import annotations

import numpy as np

from ..case import Case, Mutant, normal, with_constants

CASES = {
    "layer_norm": [
        Case("rows", normal((3, 4), (4,), (4,))),
        Case("three axes", normal((2, 2, 3), (3,), (3,))),
        Case("one vector", normal((5,), (5,), (5,))),
        Case("no weight, no bias", with_constants(normal((2, 4)), None, None)),
        Case("no bias", with_constants(normal((2, 4), (4,)), None)),
        Case("no weight", lambda rng: (rng.standard_normal((2, 3)), None, rng.standard_normal(3))),
        Case("large eps", normal((2, 3), (3,), (3,)), {"eps": 0.5}),
        Case("far from 0", lambda rng: (rng.standard_normal((2, 4)) + 100.0, *normal((4,), (4,))(rng))),
        Case("no rows", normal((0, 3), (3,), (3,))),
    ],
    "add_layer_norm": [
        Case("rows", normal((3, 4), (3, 4), (4,), (4,))),
        Case("three axes", normal((2, 2, 3), (2, 2, 3), (3,), (3,))),
        Case("one vector", normal((5,), (5,), (5,), (5,))),
        Case("no weight, no bias", with_constants(normal((2, 4), (2, 4)), None, None)),
        Case("no bias, large eps", with_constants(normal((2, 4), (2, 4), (4,)), None), {"eps": 0.5}),
        Case("more rows than four at once", normal((6, 3), (6, 3), (3,), (3,))),
        Case("far from 0", lambda rng: (rng.standard_normal((2, 4)) + 100.0, *normal((2, 4), (4,), (4,))(rng))),
        Case("no rows", normal((0, 3), (0, 3), (3,), (3,))),
    ],
    "rms_norm": [
        Case("rows", normal((3, 4), (4,))),
        Case("three axes", normal((2, 2, 3), (3,))),
        Case("one vector", normal((5,), (5,))),
        Case("no weight", with_constants(normal((2, 4)), None)),
        Case("large eps", normal((2, 3), (3,)), {"eps": 0.5}),
        Case("far from 0", lambda rng: (rng.standard_normal((2, 4)) + 100.0, *normal((4,))(rng))),
        Case("more rows than four at once", normal((6, 3), (3,))),
        Case("no rows", normal((0, 3), (3,))),
    ],
    "local_response_norm": [
        Case("three channels of five", normal((2, 5, 3)), {"size": 3, "alpha": 0.5}),
        Case("an even size", normal((1, 6, 2)), {"size": 4, "alpha": 0.5}),
        Case("more than there are channels", normal((2, 3, 2, 2)), {"size": 9, "alpha": 2.0}),
        Case("each channel alone", normal((2, 3)), {"size": 1, "alpha": 1.0}),
        Case("all constants", normal((1, 4, 2)), {"size": 3, "alpha": 0.7, "beta": 1.3, "k": 2.0}),
        Case("no images", normal((0, 3, 2)), {"size": 3}),
    ],
}


def _wrong(dx):
    """A VJP whose dx is `dx(g, h, r)`; weight and bias are right."""

    def vjp(dy, kept, *, eps=1e-5):
        x, weight, m, r, has_bias = kept
        h = (x - m) * r
        g = dy if weight is None else dy * weight
        rows = tuple(range(dy.ndim - 1))
        return dx(g, h, r), None if weight is None else np.sum(dy * h, axis=rows), np.sum(dy, axis=rows) if has_bias else None

    return vjp


def _mean(x):
    return np.mean(x, axis=-1, keepdims=True)


def _weight_counted_twice(dy, kept, *, eps=1e-5):
    x, weight, m, r, has_bias = kept
    h = (x - m) * r
    g = dy if weight is None else dy * weight
    rows = tuple(range(dy.ndim - 1))
    dw = None if weight is None else np.sum(g * h, axis=rows)
    return r * (g - _mean(g) - h * _mean(g * h)), dw, np.sum(dy, axis=rows) if has_bias else None


def _sum_and(change):
    """A VJP of add_layer_norm whose cotangents of x and of the residual are `change(ds, d)`, d that of layer_norm; the rest is
    right."""

    def vjp(parts, kept, *, eps=1e-5):
        y, *more = kept
        d, *rest = _wrong(lambda g, h, r: r * (g - _mean(g) - h * _mean(g * h)))(parts[1], (y[0], *more))
        return *change(parts[0], d), *rest

    return vjp


def _branch_alone(x, residual, weight, bias, *, eps=1e-5):
    """x is normalised without the residual."""
    m = _mean(x)
    r = 1.0 / np.sqrt(_mean((x - m) ** 2) + eps)
    h = (x - m) * r
    h = h if weight is None else h * weight
    y = np.stack([x + residual, h if bias is None else h + bias])
    return y, (y, weight, m, r, bias is not None)


def _rms(dx):
    """A VJP of rms_norm whose dx is `dx(g, h, r)`; the weight is right."""

    def vjp(dy, kept, *, eps=1e-5):
        x, weight, r = kept
        g = dy if weight is None else dy * weight
        return dx(g, x * r, r), None if weight is None else np.sum(dy * x * r, axis=tuple(range(dy.ndim - 1)))

    return vjp


def _rms_of_root(x, weight, *, eps=1e-5):
    """eps beside the root, not under it."""
    r = 1.0 / (np.sqrt(_mean(x * x)) + eps)
    return x * r if weight is None else x * r * weight, (x, weight, 1.0 / np.sqrt(_mean(x * x) + eps))


def _window(x, before, after):
    """The sum of the channels c - before .. c + after."""
    sums = [np.sum(x[:, max(0, c - before) : c + after + 1], axis=1) for c in range(x.shape[1])]
    return np.stack(sums, axis=1) if sums else x


def _response(alone=False, turned=True, slope=1.0):
    """A VJP of local_response_norm: alone, each channel divides itself only; turned: the window of an even size mirrored."""

    def vjp(dy, kept, *, size, alpha=1e-4, beta=0.75, k=1.0):
        x, s = kept
        sides = ((size - 1) // 2, size // 2) if turned else (size // 2, (size - 1) // 2)
        around = _window(dy * x * s ** (-beta - slope), *((0, 0) if alone else sides))
        return dy * s**-beta - 2.0 * alpha * beta / size * x * around

    return vjp


MUTANTS = {
    "layer_norm": [
        Mutant("the mean is taken for a constant", _wrong(lambda g, h, r: r * (g - h * _mean(g * h)))),
        Mutant("the variance is taken for a constant", _wrong(lambda g, h, r: r * (g - _mean(g)))),
        Mutant(
            "sums where means belong",
            _wrong(lambda g, h, r: r * (g - g.sum(-1, keepdims=True) - h * (g * h).sum(-1, keepdims=True))),
        ),
        Mutant("the weight counted twice", _weight_counted_twice),
    ],
    "add_layer_norm": [
        Mutant("what the sum itself was used for is left out", _sum_and(lambda ds, d: (d, d))),
        Mutant("the residual passes the normalisation by", _sum_and(lambda ds, d: (ds + d, ds))),
        Mutant("the residual is added after the normalisation", definition=_branch_alone),
    ],
    "rms_norm": [
        Mutant("the root is taken for a constant", _rms(lambda g, h, r: r * g)),
        Mutant("centred, as in layer norm", _rms(lambda g, h, r: r * (g - _mean(g) - h * _mean(g * h)))),
        Mutant("eps beside the root", definition=_rms_of_root),
    ],
    "local_response_norm": [
        Mutant("no channel divides its neighbours", _response(alone=True)),
        Mutant("the window of an even size the wrong way round", _response(turned=False)),
        Mutant("the power one too high", _response(slope=0.0)),
    ],
}
