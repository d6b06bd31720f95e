"""Matrix products by three loops, batches by the rule of broadcasting written out."""

from __future__ import annotations

import math

import numpy as np

from oracles import Oracle


def _sizes(rng, count):
    return [int(n) for n in rng.integers(0 if rng.random() < 0.1 else 1, 6, count)]


def _batch(rng, shape):
    """The last few axes of a shape, some of them 1."""
    return tuple(1 if rng.random() < 0.3 else n for n in shape[rng.integers(len(shape) + 1) :])


def _matmul_call(rng):
    m, k, n, *shape = _sizes(rng, 3 + int(rng.integers(4)))
    a, b = _batch(rng, shape), _batch(rng, shape)
    return (rng.standard_normal((*a, m, k)), rng.standard_normal((*b, k, n))), {}


def _of(x, place):
    """The matrix of x at a place in the broadcast batch."""
    own = place[len(place) - (x.ndim - 2) :]
    return x[tuple(0 if size == 1 else i for i, size in zip(own, x.shape, strict=False))]


def _matmul(a, b):
    longest = max(a.ndim, b.ndim) - 2
    shapes = [(1,) * (longest + 2 - x.ndim) + x.shape[:-2] for x in (a, b)]
    batch = tuple(n if m == 1 else m for m, n in zip(*shapes, strict=True))
    y = np.empty((*batch, a.shape[-2], b.shape[-1]))
    for place in np.ndindex(batch):
        rows, columns = _of(a, place), _of(b, place)
        for i, j in np.ndindex(y.shape[-2:]):
            y[(*place, i, j)] = math.fsum(rows[i, p] * columns[p, j] for p in range(a.shape[-1]))
    return y


def _linear_call(rng):
    o, i, *shape = _sizes(rng, 2 + int(rng.integers(4)))
    bias = None if rng.random() < 0.4 else rng.standard_normal(o)
    return (rng.standard_normal((*shape, i)), rng.standard_normal((o, i)), bias), {}


def _linear(x, weight, bias):
    y = np.empty((*x.shape[:-1], len(weight)))
    for *row, o in np.ndindex(y.shape):
        products = [float(v) * float(w) for v, w in zip(x[tuple(row)], weight[o], strict=True)]
        y[(*row, o)] = math.fsum([*products, 0.0 if bias is None else bias[o]])
    return y


ACTIVATIONS = {
    "relu": lambda z: max(z, 0.0),
    "gelu": lambda z: z * (1.0 + math.erf(z / math.sqrt(2.0))) / 2.0,
    "gelu_tanh": lambda z: z / 2.0 * (1.0 + math.tanh(math.sqrt(2.0 / math.pi) * (z + 0.044715 * z**3))),
    "silu": lambda z: z / (1.0 + math.exp(-z)),
}


def _activation_call(rng):
    arrays, _ = _linear_call(rng)
    return arrays, {"activation": str(rng.choice(list(ACTIVATIONS)))}


def _linear_activation(x, weight, bias, *, activation):
    z = _linear(x, weight, bias)
    return np.reshape([ACTIVATIONS[activation](float(value)) for value in z.flat], z.shape)


ORACLES = {
    "matmul": Oracle(_matmul_call, _matmul),
    "linear": Oracle(_linear_call, _linear),
    "linear_activation": Oracle(_activation_call, _linear_activation),
}
