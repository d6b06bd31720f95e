"""Taking by number and adding back, element by element."""

from __future__ import annotations

import itertools

import numpy as np

from oracles import Oracle
from oracles.shape import elements, moved, sizes


def _index_of(rng, shape):
    """An index as users write them: numbers, slices, new axes, an ellipsis, lists of numbers, masks."""
    parts, joined = [], int(rng.integers(1, 4))
    for n in shape[: rng.integers(len(shape) + 1)]:
        kind = rng.choice(["number", "slice", "list", "mask", "all"])
        if kind == "number":
            parts.append(int(rng.integers(-n, n)))
        elif kind == "slice":
            ends = [None if rng.random() < 0.4 else int(e) for e in rng.integers(-6, 7, 2)]
            parts.append(slice(*ends, int(rng.choice([-2, -1, 1, 2, 3]))))
        elif kind == "list":
            parts.append(rng.integers(-n, n, joined))
        elif kind == "mask" and not any(isinstance(p, np.ndarray) for p in parts):
            parts.append(rng.random(n) < 0.5)
            joined = int(parts[-1].sum())
        else:
            parts.append(slice(None))
    if rng.random() < 0.3:
        parts.insert(int(rng.integers(len(parts) + 1)), None)
    if rng.random() < 0.3:
        parts.append(Ellipsis)
    return tuple(parts)


def _numbers(part, n):
    """(kind, the numbers that a part of an index takes of an axis of n)."""
    numbers = list(range(n))
    if isinstance(part, slice):
        return "slice", numbers[part]
    if isinstance(part, int):
        return "number", [numbers[part]]
    return "list", [i for i in numbers if part[i]] if part.dtype == bool else [numbers[int(i)] for i in part]


def _plan(shape, index):
    """(kind, axis of x or None for a new one, its numbers), part by part; axes that the index leaves out are whole."""
    plan, axis = [], 0
    for part in index:
        if part is None:
            plan.append(("new", None, [0]))
        elif part is not Ellipsis:
            kind, numbers = _numbers(part, shape[axis])
            plan.append((kind, axis, numbers))
            axis += 1
    return plan + [("slice", a, list(range(shape[a]))) for a in range(axis, len(shape))]


def _taken(shape, index):
    """(shape of the result, the place that each of its elements is taken from, in row order): NumPy's rules, written out."""
    plan = _plan(shape, index)
    lists = [numbers for kind, _, numbers in plan if kind == "list"]
    # numbers beside lists are lists of one, all run together, and stand where they stood if they stood side by side
    advanced = [k for k, (kind, *_) in enumerate(plan) if kind == "list" or (lists and kind == "number")]
    together = bool(advanced) and advanced[-1] - advanced[0] == len(advanced) - 1
    others = [k for k in range(len(plan)) if k not in advanced and plan[k][0] != "number"]
    front = [k for k in others if together and k < advanced[0]]
    length = 0 if not all(lists) else max(map(len, lists), default=1)
    axes = [*(len(plan[k][2]) for k in front), *([length] if lists else [])]
    axes += [len(plan[k][2]) for k in others if k not in front]
    return tuple(axes), [_source(plan, shape, others, list(place), len(front) if lists else None) for place in elements(axes)]


def _source(plan, shape, others, place, run_at):
    """Where one element comes from; run_at: the position in `place` that counts along the lists, if there are any."""
    run, source = 0 if run_at is None else place.pop(run_at), [0] * len(shape)
    steps = dict(zip(others, place, strict=True))
    for k, (_, axis, numbers) in enumerate(plan):
        if axis is not None:
            source[axis] = numbers[steps.get(k, run if len(numbers) > 1 else 0)]
    return tuple(source)


def _getitem_call(rng):
    shape = sizes(rng, smallest=1)
    return (rng.standard_normal(shape),), {"index": _index_of(rng, shape)}


def _getitem(x, *, index):
    shape, sources = _taken(x.shape, index)
    return moved(shape, zip(elements(shape), (x[s] for s in sources), strict=True))


def _put_call(rng):
    shape = sizes(rng, smallest=1)
    index = _index_of(rng, shape)
    return (rng.standard_normal(_taken(shape, index)[0]),), {"index": index, "shape": shape}


def _put(y, *, index, shape):
    x = np.zeros(shape)
    for place, source in zip(elements(y.shape), _taken(shape, index)[1], strict=True):
        x[source] += y[place]
    return x


def _along_call(rng):
    shape = sizes(rng, least=1, smallest=1)
    axis, count = int(rng.integers(len(shape))), int(rng.integers(0, 5))
    places = (*shape[:axis], count, *shape[axis + 1 :])
    return shape, places, rng.integers(0, shape[axis], places), axis, axis - len(shape) * int(rng.integers(2))


def _gather_call(rng):
    shape, _, index, _, named = _along_call(rng)
    return (rng.standard_normal(shape), index), {"axis": named}


def _gather(x, index, *, axis):
    axis %= x.ndim
    return moved(index.shape, ((p, x[(*p[:axis], index[p], *p[axis + 1 :])]) for p in elements(index.shape)))


def _scatter_call(rng):
    shape, places, index, axis, named = _along_call(rng)
    return (rng.standard_normal(places), index), {"axis": named, "size": shape[axis]}


def _scatter(y, index, *, axis, size):
    axis %= y.ndim
    x = np.zeros((*y.shape[:axis], size, *y.shape[axis + 1 :]))
    for p in elements(y.shape):
        x[(*p[:axis], index[p], *p[axis + 1 :])] += y[p]
    return x


def _select_call(rng):
    shape = sizes(rng, least=1, smallest=1)
    axis = int(rng.integers(len(shape)))
    low = -shape[axis] if rng.random() < 0.2 else 0
    return (rng.standard_normal(shape), rng.integers(low, shape[axis], sizes(rng, most=2))), {"axis": axis}


def _select(x, index, *, axis=0):
    shape = (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
    parts = itertools.product(elements(x.shape[:axis]), elements(index.shape), elements(x.shape[axis + 1 :]))
    return moved(shape, ((a + i + b, x[(*a, index[i], *b)]) for a, i, b in parts))


def _add_call(rng):
    (x, index), attributes = _select_call(rng)
    axis = attributes["axis"]
    shape = (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
    return (rng.standard_normal(shape), index), {**attributes, "size": x.shape[axis]}


def _add(y, index, *, axis, size):
    before, after = y.shape[:axis], y.shape[axis + index.ndim :]
    x = np.zeros((*before, size, *after))
    for a, i, b in itertools.product(elements(before), elements(index.shape), elements(after)):
        x[(*a, index[i], *b)] += y[a + i + b]
    return x


ORACLES = {
    "getitem": Oracle(_getitem_call, _getitem, 0.0),
    "put": Oracle(_put_call, _put),
    "gather": Oracle(_gather_call, _gather, 0.0),
    "scatter_add": Oracle(_scatter_call, _scatter),
    "index_select": Oracle(_select_call, _select, 0.0),
    "index_add": Oracle(_add_call, _add),
}
