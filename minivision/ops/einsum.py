"""Einstein's summation, derived from permuting, summing, elementwise and matrix products: no operation of its own.

An operand is an array and one label for each axis: a letter, or for the axes under ... the number of the axis from the
last. Two operands meet as a matrix product where a label is summed over, as an elementwise product where none is.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..tape import NUMPY
from .matmul import matmul

Labels = tuple[Any, ...]


def einsum(equation: str, *operands: Any) -> Any:
    """The sum of products that an equation such as "bik,bkj->bij" names, over each label that is not in the output.

    Spaces count for nothing. `...` stands for axes that broadcast; a label twice in one term takes the diagonal; without
    an arrow the output is `...` and then each letter that stands once, in alphabetical order. As in torch, an axis of
    size 1 broadcasts, and `...` left out of the output is summed over. Operands are combined from left to right.
    """
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    if not isinstance(equation, str):
        raise TypeError(f'einsum: the equation comes first, such as "ij,jk->ik", got {type(equation).__name__}')
    terms, output = labels_of(equation, tuple(x.ndim for x in operands))
    sizes = _sizes(equation, operands, terms)
    whole = [_plain(x, labels, sizes) for x, labels in zip(operands, terms, strict=True)]
    x, labels = whole[0]
    for i, (y, more) in enumerate(whole[1:], 2):
        wanted = {*output, *(label for _, later in whole[i:] for label in later)}
        x, labels = _product(x, labels, y, more, wanted)
    x, labels = _summed(x, labels, set(output))
    return arranged(x, labels, output)


@functools.lru_cache(maxsize=1024)
def labels_of(equation: str, ndims: tuple[int, ...]) -> tuple[list[Labels], Labels]:
    """The labels of each operand and of the output; ValueError for an equation that cannot be read."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    written = left.split(",")
    for term in [*written, right]:
        if not re.fullmatch(r"[a-zA-Z]*(\.\.\.)?[a-zA-Z]*", term):
            raise ValueError(f"einsum: a term has letters and at most one ..., got {term!r} in {equation!r}")
    if len(written) != len(ndims):
        raise ValueError(f"einsum: {equation!r} has {len(written)} terms, but {len(ndims)} operands came")
    terms = [_term(equation, term, ndim) for term, ndim in zip(written, ndims, strict=True)]
    hidden = tuple(range(-max(sum(isinstance(label, int) for label in term) for term in terms), 0))
    if not arrow:
        letters = [label for term in written for label in term if label != "."]
        return terms, (*hidden, *sorted(label for label in letters if letters.count(label) == 1))
    return terms, _output(equation, right, terms, hidden)


def _term(equation: str, term: str, ndim: int) -> Labels:
    front, dots, back = term.partition("...")
    hidden = ndim - len(front) - len(back)
    if hidden < 0 or (hidden and not dots):
        raise ValueError(f"einsum: {term!r} in {equation!r} names {len(front + back)} axes, but the operand has {ndim}")
    return (*front, *range(-hidden, 0), *back)


def _output(equation: str, right: str, terms: list[Labels], hidden: Labels) -> Labels:
    front, dots, back = right.partition("...")
    for label in front + back:
        if (front + back).count(label) > 1 or not any(label in term for term in terms):
            raise ValueError(f"einsum: the output of {equation!r} names {label!r} twice, or no operand does")
    return (*front, *(hidden if dots else ()), *back)


def _sizes(equation: str, operands: Sequence[Any], terms: list[Labels]) -> dict[Any, int]:
    """The size of each label: that of its axes, of which those of size 1 broadcast."""
    sizes: dict[Any, int] = {}
    for x, labels in zip(operands, terms, strict=True):
        for label, size in zip(labels, x.shape, strict=True):
            if sizes.get(label, 1) not in (1, size) and size != 1:
                shapes = ", ".join(str(tuple(x.shape)) for x in operands)
                problem = f"{'...' if isinstance(label, int) else label!r} has size {sizes[label]} and size {size}"
                raise ShapeError("einsum", problem, shapes, f"each label of {equation!r} should have one size, or size 1")
            sizes[label] = size if sizes.get(label, 1) == 1 else sizes[label]
    return sizes


def _plain(x: Any, labels: Labels, sizes: dict[Any, int]) -> tuple[Any, Labels]:
    """Each label once, by diagonals; and without the axes of size 1 that broadcast, which are the same everywhere."""
    for label in dict.fromkeys(label for label in labels if labels.count(label) > 1):
        x, labels = _diagonal(x, labels, label)
    kept = [i for i, label in enumerate(labels) if x.shape[i] == sizes[label]]
    x = x if len(kept) == x.ndim else np.reshape(x, tuple(x.shape[i] for i in kept))
    return x, tuple(labels[i] for i in kept)


def _diagonal(x: Any, labels: Labels, label: Any) -> tuple[Any, Labels]:
    """The elements whose indices along all axes of a label are equal: one axis for it, the last."""
    axes = [i for i, other in enumerate(labels) if other == label]
    lengths = {x.shape[a] for a in axes}
    if len(lengths) > 1:
        problem = f"{label!r} stands for axes of size {sorted(lengths)} of one operand"
        raise ShapeError("einsum", problem, str(tuple(x.shape)), "a diagonal needs equal sizes")
    others = [i for i in range(x.ndim) if i not in axes]
    x = np.transpose(x, (*others, *axes))
    together = (Ellipsis,) + (np.arange(x.shape[-1]),) * len(axes)
    return x[together], (*(labels[i] for i in others), label)


def _summed(x: Any, labels: Labels, wanted: set[Any]) -> tuple[Any, Labels]:
    """Without the axes that nothing further needs."""
    axes = tuple(i for i, label in enumerate(labels) if label not in wanted)
    return (np.sum(x, axis=axes) if axes else x), tuple(label for label in labels if label in wanted)


def arranged(x: Any, labels: Labels, order: Labels) -> Any:
    """The axes of x in the order of some of the labels and of ones that x lacks, which get size 1."""
    here = [labels.index(label) for label in order if label in labels]
    x = x if here == list(range(x.ndim)) else np.transpose(x, tuple(here))
    if len(here) == len(order):
        return x
    return np.reshape(x, tuple(x.shape[here.index(labels.index(n))] if n in labels else 1 for n in order))


def _product(a: Any, in_a: Labels, b: Any, in_b: Labels, wanted: set[Any]) -> tuple[Any, Labels]:
    """Two operands as one: sum a b over the labels that are not wanted any more."""
    a, in_a = _summed(a, in_a, wanted | set(in_b))
    b, in_b = _summed(b, in_b, wanted | set(in_a))
    batch = tuple(label for label in in_a if label in in_b and label in wanted)
    summed = tuple(label for label in in_a if label in in_b and label not in wanted)
    left, right = (tuple(n for n in mine if n not in other) for mine, other in ((in_a, in_b), (in_b, in_a)))
    labels = (*batch, *left, *right)
    if not summed:
        return arranged(a, in_a, labels) * arranged(b, in_b, labels), labels
    return contract(
        arranged(a, in_a, (*batch, *left, *summed)), arranged(b, in_b, (*batch, *summed, *right)), len(batch), len(summed)
    ), labels


def contract(a: Any, b: Any, batch: int, summed: int) -> Any:
    """a(*batch, *left, *summed), b(*batch, *summed, *right) -> (*batch, *left, *right), by one matrix product."""
    left, right = a.shape[batch : a.ndim - summed], b.shape[batch + summed :]
    k = math.prod(b.shape[batch : batch + summed])
    rows = a if summed == len(left) == 1 else np.reshape(a, (*a.shape[:batch], math.prod(left), k))
    columns = b if summed == len(right) == 1 else np.reshape(b, (*b.shape[:batch], k, math.prod(right)))
    y = matmul(rows, columns)
    shape = (*a.shape[:batch], *left, *right)
    return y if y.shape == shape else np.reshape(y, shape)


NUMPY[np.einsum] = einsum
