"""Rearrangements, element by element."""

from __future__ import annotations

import itertools
import math

import numpy as np

from oracles import Oracle


def sizes(rng, least=0, most=3, smallest=0):
    """A shape of `least` to `most` axes."""
    return tuple(int(n) for n in rng.integers(smallest, 5, rng.integers(least, most + 1)))


def elements(shape):
    """Every place of an array, in row order."""
    return itertools.product(*map(range, shape))


def moved(shape, places):
    """The array y with y[place] = value for the pairs given."""
    y = np.full(shape, np.nan)
    for place, value in places:
        y[place] = value
    return y


def _reshape_call(rng):
    shape = sizes(rng)
    wanted = list(rng.permutation(shape)) if rng.random() < 0.5 else [math.prod(shape)]
    if wanted and rng.random() < 0.3 and math.prod(shape):
        wanted[rng.integers(len(wanted))] = -1
    return (rng.standard_normal(shape),), {"shape": tuple(int(n) for n in wanted) or (1,)}


def _reshape(x, *, shape):
    known = -math.prod(shape) if -1 in shape else 0
    size = tuple(x.size // known if n == -1 else n for n in shape)
    values = [float(x[place]) for place in elements(x.shape)]
    return moved(size, zip(elements(size), values, strict=True))


def _permute_call(rng):
    x = rng.standard_normal(sizes(rng))
    return (x,), {"axes": tuple(int(a) - x.ndim * int(rng.integers(2)) for a in rng.permutation(x.ndim))}


def _permute(x, *, axes):
    axes = [a if a >= 0 else a + x.ndim for a in axes]
    size = tuple(x.shape[a] for a in axes)
    return moved(size, ((tuple(place[a] for a in axes), x[place]) for place in elements(x.shape)))


def _broadcast_call(rng):
    wanted = sizes(rng)
    own = [1 if rng.random() < 0.4 else n for n in wanted[rng.integers(len(wanted) + 1) :]]
    return (rng.standard_normal(own),), {"shape": wanted}


def _broadcast(x, *, shape):
    places = list(elements(shape))
    own = [tuple(p if n > 1 else 0 for p, n in zip(place[len(shape) - x.ndim :], x.shape, strict=True)) for place in places]
    return moved(shape, ((place, x[source]) for place, source in zip(places, own, strict=True)))


def _concatenate_call(rng):
    shape = list(sizes(rng, least=1))
    axis = int(rng.integers(len(shape)))
    parts = []
    for _ in range(rng.integers(1, 4)):
        shape[axis] = int(rng.integers(0, 4))
        parts.append(rng.standard_normal(shape))
    return tuple(parts), {"axis": axis - len(shape) * int(rng.integers(2))}


def _concatenate(*arrays, axis):
    axis %= arrays[0].ndim
    size, places = list(arrays[0].shape), []
    size[axis] = 0
    for a in arrays:
        places += [((*p[:axis], p[axis] + size[axis], *p[axis + 1 :]), a[p]) for p in elements(a.shape)]
        size[axis] += a.shape[axis]
    return moved(size, places)


def _roll_call(rng):
    x = rng.standard_normal(sizes(rng, least=1))
    axes = [int(a) for a in rng.integers(-x.ndim, x.ndim, rng.integers(1, 3))]
    return (x,), {"shift": tuple(int(s) for s in rng.integers(-7, 8, len(axes))), "axis": tuple(axes)}


def _roll(x, *, shift, axis):
    def target(place):
        place = list(place)
        for s, a in zip(shift, axis, strict=True):
            place[a] = (place[a] + s) % x.shape[a]
        return tuple(place)

    return moved(x.shape, ((target(place), x[place]) for place in elements(x.shape)))


ORACLES = {
    "reshape": Oracle(_reshape_call, _reshape, 0.0),
    "permute": Oracle(_permute_call, _permute, 0.0),
    "broadcast_to": Oracle(_broadcast_call, _broadcast, 0.0),
    "concatenate": Oracle(_concatenate_call, _concatenate, 0.0),
    "roll": Oracle(_roll_call, _roll, 0.0),
}
