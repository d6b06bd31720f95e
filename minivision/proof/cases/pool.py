"""Pooling: windows that overlap, hang over the edge, leave pixels out; dilation; bins of every kind."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...kernels.pool_windows import bins, sizes
from ...ops.adaptive_pool import _adaptive_avg_pool2d_vjp, _adaptive_max_pool2d_vjp
from ...ops.pool import _avg_pool2d_vjp, _max_pool2d, _max_pool2d_vjp
from ..case import Case, Mutant, distinct, normal

# label -> (N, C, H, W), attributes
POOLS: dict[str, tuple[Any, dict[str, Any]]] = {
    "2x2": ((1, 2, 4, 4), {"kernel": (2, 2), "stride": (2, 2)}),
    "overlapping": ((1, 1, 4, 5), {"kernel": (2, 3), "stride": (1, 1)}),
    "padding": ((2, 1, 3, 4), {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 1)}),
    "ceil_mode": ((1, 1, 5, 4), {"kernel": (2, 3), "stride": (2, 2), "padding": (0, 1), "ceil_mode": True}),
    "ceil_mode, last window left out": ((1, 1, 3, 4), {"kernel": (2, 2), "stride": (3, 3), "padding": (1, 1), "ceil_mode": True}),
    "pixels between the windows": ((1, 2, 5, 3), {"kernel": (1, 2), "stride": (3, 2)}),
    "the whole image": ((2, 1, 3, 2), {"kernel": (3, 2), "stride": (1, 1)}),
    "no images": ((0, 2, 3, 3), {"kernel": (2, 2), "stride": (2, 2)}),
}
DILATED: dict[str, tuple[Any, dict[str, Any]]] = {
    "dilation": ((1, 1, 5, 6), {"kernel": (2, 2), "stride": (1, 2), "dilation": (3, 2)}),
    "dilation, padding": ((1, 2, 5, 4), {"kernel": (3, 2), "stride": (2, 1), "dilation": (2, 3), "padding": (1, 1)}),
    "places beyond one byte": ((1, 1, 2, 65), {"kernel": (2, 2), "stride": (1, 1), "dilation": (1, 64)}),
}
ADAPTIVE: dict[str, tuple[Any, Any]] = {
    "one bin": ((2, 2, 3, 4), (1, 1)),
    "bins of equal size": ((1, 2, 4, 6), (2, 3)),
    "bins that overlap": ((1, 2, 5, 4), (3, 3)),
    "as many bins as pixels": ((1, 1, 3, 4), (3, 4)),
    "more bins than pixels": ((1, 2, 2, 3), (5, 4)),
    "no images": ((0, 2, 3, 3), (2, 2)),
}
CASES = {
    "max_pool2d": [
        Case(label, distinct(shape), attrs, complex_step=False) for label, (shape, attrs) in {**POOLS, **DILATED}.items()
    ],
    "avg_pool2d": [
        *(Case(label, normal(shape), attrs) for label, (shape, attrs) in POOLS.items()),
        Case("padding not counted", normal((1, 1, 4, 5)), {**POOLS["padding"][1], "count_include_pad": False}),
        Case("ceil_mode, padding not counted", normal((1, 1, 5, 4)), {**POOLS["ceil_mode"][1], "count_include_pad": False}),
        Case("divisor", normal((1, 1, 4, 4)), {"kernel": (2, 3), "stride": (1, 1), "padding": (1, 1), "divisor": 5}),
    ],
    "adaptive_avg_pool2d": [Case(label, normal(shape), {"size": size}) for label, (shape, size) in ADAPTIVE.items()],
    "adaptive_max_pool2d": [
        Case(label, distinct(shape), {"size": size}, complex_step=False) for label, (shape, size) in ADAPTIVE.items()
    ],
}


def _where_it_began(dy, kept, **windows):
    return _max_pool2d_vjp(dy, (np.minimum(kept[0], 0), kept[1]), **windows)


def _by_columns(dy, kept, *, kernel, dilation=(1, 1), **windows):
    """The places in a window counted down its columns."""
    reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
    turned = np.ravel_multi_index(np.unravel_index(np.maximum(kept[0], 0), reach)[::-1], reach[::-1])
    taken = np.where(kept[0] < 0, -1, turned)
    return _max_pool2d_vjp(dy, (taken, kept[1]), kernel=kernel, dilation=dilation, **windows)


def _padded_with_zeros(x, *, padding=(0, 0), **windows):
    """The largest of the window and the zeros around the image."""
    y, kept = _max_pool2d(x, padding=padding, **windows)
    return (np.maximum(y, 0.0) if any(padding) else y), kept


def _padding_counted(dy, kept, *, count_include_pad=True, **windows):
    return _avg_pool2d_vjp(dy, kept, **windows)


def _divisor_of_one(dy, kept, *, divisor=None, **windows):
    return _avg_pool2d_vjp(dy, kept, **windows, divisor=1)


def _overhang_counted(dy, kept, *, kernel, divisor=None, **windows):
    """What hangs over the edge in ceil_mode is counted too."""
    return _avg_pool2d_vjp(dy, kept, kernel=kernel, divisor=divisor or int(np.prod(kernel)), **windows)


def _last_bin_only(dy, kept, *, size):
    """Bins that overlap overwrite each other."""
    dx, (down, across) = np.zeros((*dy.shape[:2], *kept[0])), bins("adaptive_avg_pool2d", kept[0], size)
    shares = dy / sizes((down, across))
    for p, q in np.ndindex(size):
        dx[:, :, down.low[p] : down.high[p], across.low[q] : across.high[q]] = shares[:, :, p : p + 1, q : q + 1]
    return dx


def _undivided(dy, kept, *, size):
    return _adaptive_avg_pool2d_vjp(dy * sizes(bins("adaptive_avg_pool2d", kept[0], size)), kept, size=size)


def _first_of_its_bin(dy, kept, *, size):
    return _adaptive_max_pool2d_vjp(dy, (np.zeros_like(kept[0]), kept[1]), size=size)


def _one_further(dy, kept, *, size):
    """The pixel behind the largest one."""
    return np.roll(_adaptive_max_pool2d_vjp(dy, kept, size=size), 1, axis=-1)


MUTANTS = {
    "max_pool2d": [
        Mutant("the gradient goes to where the window begins", _where_it_began),
        Mutant("places counted by columns", _by_columns),
        Mutant("padding is 0", definition=_padded_with_zeros),
    ],
    "avg_pool2d": [
        Mutant("padding is counted always", _padding_counted),
        Mutant("sums where means belong", _divisor_of_one),
        Mutant("what hangs over the edge is counted", _overhang_counted),
    ],
    "adaptive_avg_pool2d": [
        Mutant("bins that overlap overwrite each other", _last_bin_only),
        Mutant("sums where means belong", _undivided),
    ],
    "adaptive_max_pool2d": [
        Mutant("the gradient goes to the first of the bin", _first_of_its_bin),
        Mutant("the gradient goes to the next pixel", _one_further),
    ],
}
