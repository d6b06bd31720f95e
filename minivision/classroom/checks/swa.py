"""Stochastic weight averaging: means over lists that were kept, rates point by point, statistics over all batches at once."""

from __future__ import annotations

from functools import partial

import numpy as np

from ...tape import Tensor
from ..expect import expect, expect_error
from ..proxy import Student


def running_mean(student: Student, rng: np.random.Generator) -> None:
    """The mean over all weights so far, after each call, in float64 and in arrays of its own."""
    for dtype in (np.float64, np.float32):
        visited = [[rng.standard_normal(shape).astype(dtype) for shape in [(2, 3), (4,)]] for _ in range(5)]
        counts, found, last = student.drive("swa:means", visited)
        expect(counts, [1, 2, 3, 4, 5], "self.n_averaged after each of five calls")
        for t, got in enumerate(found):
            wanted = [np.mean([each[i] for each in visited[: t + 1]], axis=0, dtype=np.float64) for i in range(2)]
            expect(got, wanted, f"the means of two {np.dtype(dtype)} parameters after {t + 1} calls")
        expect(last, visited[-1], "the parameters themselves, which stay as they are", tolerance=0)


def rates(student: Student, rng: np.random.Generator) -> None:
    """One, then a straight line down, then constant or in cycles; the sums that are refused."""
    steps = [0, 1, 9, 10, 11, 14, 17, 18, 19, 20, 21, 22, 23, 24, 25, 27, 28, 99]
    settings = [(20, 0.2, 1, 1.0), (22, 0.2, 4, 0.6), (20, 0.5, 3, 1.0), (0, 0.25, 2, 0.75), (20, 1.0, 1, 1.0)]
    for start, low, cycle, high in settings:
        wanted = []
        for t in steps:
            if t < start:
                wanted.append(float(np.interp(t, [0.5 * start, 0.9 * start], [1.0, low])))
            else:
                falling = np.linspace(high, low, cycle + 1)[1:]  # the cycle's rates, in order
                wanted.append(float(falling[(t - start) % cycle]))
        got = student.drive("optimisers:factors", steps, start, low, cycle, high)
        label = f"f(t) for t in {steps}, of swa(start={start}, low={low}, cycle={cycle}, high={high})"
        expect(np.array(got, np.float64), np.array(wanted), label)
    for args in [(-1, 0.5), (5, 0.5, 0), (5, 0.0), (5, 0.5, 2, 0.4)]:
        expect_error(partial(student.drive, "optimisers:factors", [0], *args), ValueError, f"swa{args}")


def anew(student: Student, rng: np.random.Generator) -> None:
    """Statistics over batches of unlike sizes; momenta and modes as they were; no batch is an error, no statistics are none."""
    for sizes, modes in [((4, 9, 2), [True, True, True]), ((5,), [False, True, False]), ((3, 3), [True, False, False])]:
        batches = [Tensor(b * rng.standard_normal((b, 3))) for b in sizes]
        given = [(x, np.zeros(len(x.data))) if modes[0] else x for x in batches]
        share = np.array(sizes) / sum(sizes)
        wanted, xs = [], [x.data for x in batches]
        for layer in range(2):  # the second reads what the first and a ReLU make of each batch
            means = [x.mean(0) for x in xs]
            spreads = [x.var(0, ddof=1) for x in xs]
            wanted += [np.einsum("b,bc->c", share, means), np.einsum("b,bc->c", share, spreads)]
            if layer == 0:
                xs = [np.maximum((x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5), 0.0) for x in xs]
        label = f"two batch normalisations after batches of {sizes}"
        statistics, momenta, after = student.drive("swa:norms", given, modes)
        expect(statistics, wanted, f"running means and variances of {label}")
        expect(momenta, [0.1, 0.3], f"momenta of {label}")
        expect(after, modes, f"training modes of three layers, {label}")
    expect_error(lambda: student.drive("swa:norms", [], [True] * 3), ValueError, "no batch at all")
    expect(student.drive("swa:plain"), None, "what comes for a model without running statistics")
