"""Small linear algebra as it is done by hand: determinants by expansion, elimination, Jacobi's rotations."""

from __future__ import annotations

import math

import numpy as np

from oracles import Oracle


def determinant(rows):
    """By expansion along the first row."""
    if not rows:
        return 1.0
    minors = ([row[:j] + row[j + 1 :] for row in rows[1:]] for j in range(len(rows)))
    return math.fsum((-1) ** j * v * determinant(minor) for j, (v, minor) in enumerate(zip(rows[0], minors, strict=True)))


def eliminated(rows, right):
    """The solution of rows x = right: Gauss's elimination, with the largest pivot of each column."""
    n = len(rows)
    rows = [[*row, *more] for row, more in zip(rows, right, strict=True)]
    for i in range(n):
        best = max(range(i, n), key=lambda r: abs(rows[r][i]))
        rows[i], rows[best] = rows[best], rows[i]
        rows[i] = [v / rows[i][i] for v in rows[i]]
        for r in range(n):
            if r != i:
                rows[r] = [v - rows[r][i] * w for v, w in zip(rows[r], rows[i], strict=True)]
    return [row[n:] for row in rows]


def factored(rows):
    """Cholesky's factor, element by element."""
    n = len(rows)
    lower = [[0.0] * n for _ in rows]
    for i in range(n):
        for j in range(i + 1):
            rest = rows[i][j] - math.fsum(lower[i][k] * lower[j][k] for k in range(j))
            lower[i][j] = math.sqrt(rest) if i == j else rest / lower[j][j]
    return lower


def orthogonalised(columns):
    """Columns turned in pairs until all are orthogonal (Hestenes 1958), and the turns as they act on the unit matrix."""
    n = len(columns)
    columns, turns = [list(c) for c in columns], [[float(i == j) for i in range(n)] for j in range(n)]
    for _ in range(40):
        for p in range(n):
            for q in range(p + 1, n):
                _turn(columns, turns, p, q)
    return columns, turns


def _turn(columns, turns, p, q):
    pp, qq, pq = (math.fsum(map(float.__mul__, columns[i], columns[j])) for i, j in ((p, p), (q, q), (p, q)))
    if abs(pq) <= 1e-17 * math.sqrt(pp * qq):
        return
    angle = 0.5 * math.atan2(2.0 * pq, pp - qq)
    c, s = math.cos(angle), math.sin(angle)
    for these in (columns, turns):
        pairs = list(zip(these[p], these[q], strict=True))
        these[p], these[q] = [c * x + s * y for x, y in pairs], [c * y - s * x for x, y in pairs]


def pairs_of(rows):
    """Eigenvalues and eigenvectors of a symmetric positive definite matrix: its singular values and right turns."""
    columns, turns = orthogonalised([list(c) for c in zip(*rows, strict=True)])
    found = sorted((math.sqrt(math.fsum(v * v for v in c)), t) for c, t in zip(columns, turns, strict=True))
    signed = [[v * math.copysign(1.0, max(t, key=abs)) for v in t] for _, t in found]
    return [[w for w, _ in found], *map(list, zip(*signed, strict=True))]


def singular_values(rows):
    """Lengths of the columns after they were made orthogonal, of the narrower of the matrix and its transpose."""
    narrow = rows if rows and len(rows) >= len(rows[0]) else list(zip(*rows, strict=True))
    columns, _ = orthogonalised([list(c) for c in zip(*narrow, strict=True)])
    return sorted((math.sqrt(math.fsum(v * v for v in c)) for c in columns), reverse=True)


def _batch(rng):
    return tuple(int(n) for n in rng.integers(1, 4, rng.integers(0, 3)))


def _regular(rng):
    n = int(rng.integers(1, 5))
    shape = (*_batch(rng), n, n)
    return rng.standard_normal(shape) / n + 1.5 * rng.choice([-1.0, 1.0]) * np.eye(n)


def _any_square(rng):
    x = _regular(rng) if rng.random() < 0.5 else rng.integers(-2, 3, (2, 3, 3)).astype(float)
    return (x,), {}


def _definite(rng):
    """Symmetric, with eigenvalues about 1, 2, .. n."""
    n = int(rng.integers(1, 5))
    shape = (*_batch(rng), n, n)
    q = np.linalg.qr(rng.standard_normal(shape))[0]
    w = np.arange(1.0, n + 1) + rng.uniform(-0.2, 0.2, shape[:-1])
    x = (q * w[..., None, :]) @ np.swapaxes(q, -1, -2)
    return ((x + np.swapaxes(x, -1, -2)) / 2,), {}


def _solve_call(rng):
    a = _regular(rng)
    lead = a.shape[rng.integers(a.ndim - 1) : -2]
    return (a, rng.standard_normal((*lead, a.shape[-1], int(rng.integers(1, 4))))), {}


def _each(function):
    """A function of nested lists for each matrix of a batch."""

    def answer(a):
        found = np.array([function(m.tolist()) for m in a.reshape(-1, *a.shape[-2:])])
        return found.reshape((*a.shape[:-2], *found.shape[1:]))

    return answer


def _solve(a, b):
    lead = a.shape[:-2]
    y = np.empty((*lead, *b.shape[-2:]))
    for place in np.ndindex(lead):
        right = b[place[len(lead) - (b.ndim - 2) :]]
        y[place] = eliminated(a[place].tolist(), right.tolist())
    return y


def _log_size(rows):
    size = abs(determinant(rows))
    return math.log(size) if size else -math.inf


def _svd_call(rng):
    return (rng.standard_normal((*_batch(rng), *(int(n) for n in rng.integers(1, 5, 2)))),), {}


ORACLES = {
    "solve": Oracle(_solve_call, _solve, 1e-9),
    "inv": Oracle(lambda rng: ((_regular(rng),), {}), _each(lambda m: eliminated(m, np.eye(len(m)).tolist())), 1e-9),
    "det": Oracle(_any_square, _each(determinant)),
    "logabsdet": Oracle(lambda rng: ((_regular(rng),), {}), _each(_log_size)),
    "cholesky": Oracle(_definite, _each(factored)),
    "eigh": Oracle(_definite, _each(pairs_of)),
    "svdvals": Oracle(_svd_call, _each(singular_values)),
}
