"""Optimisers and schedules: formulas summed up from their definitions, in float64, and what must stay as it was."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from ..expect import expect, expect_error, expect_parts
from ..proxy import Student


def cosine_schedule(student: Student, rng: np.random.Generator) -> None:
    """1 at the end of the warm-up, half way between 1 and the floor in the middle, the floor from the end on."""
    steps = [0, 1, 2, 3, 4, 5, 7, 8, 10, 12, 19, 20, 21, 500]
    for total, warmup, floor in [(20, 0, 0.0), (20, 4, 0.0), (20, 4, 0.25), (8, 7, 0.1), (10, 1, 1.0)]:
        got = student.drive("optimisers:factors", steps, total, warmup, floor)
        angles = [math.pi * min(max(t - warmup, 0) / (total - warmup), 1.0) for t in steps]
        wanted = [
            (t + 1) / warmup if t < warmup else floor + (1 - floor) * math.cos(a / 2) ** 2
            for t, a in zip(steps, angles, strict=True)
        ]
        label = f"f(t) for t in {steps}, of cosine(total={total}, warmup={warmup}, floor={floor})"
        expect(np.array(got, np.float64), np.array(wanted, np.float64), label)
    for total, warmup in [(5, 5), (5, -1)]:
        call = partial(student.drive, "optimisers:factors", [0], total, warmup)
        expect_error(call, ValueError, f"cosine({total}, {warmup})")


def gradient_clipping(student: Student, rng: np.random.Generator) -> None:
    """The norm over all gradients; all scaled by one number where it is above max_norm, none where it is not or is infinite."""
    for dtype in (np.float64, np.float32):
        grads: list[Any] = [rng.standard_normal(shape).astype(dtype) for shape in [(3, 4), (5,), ()]]
        norm = math.sqrt(sum(float(np.sum(g.astype(np.float64) ** 2)) for g in grads))
        for max_norm in (0.5 * norm, 2.0 * norm, 1e-3):
            scale = min(1.0, max_norm / (norm + 1e-6))
            got = student.drive("optimisers:clipped", [*grads, None], max_norm)
            expect(got[0], norm, f"the norm of gradients whose norm is {norm:.4g}", tolerance=1e-6)
            label = f"gradients of norm {norm:.4g} clipped to {max_norm:.4g}"
            expect(got[1], [*((g * scale).astype(dtype) for g in grads), None], label, tolerance=1e-5)
            written = [scale < 1.0] * 3 + [False]
            expect(got[2], written, f"whether version[0] of each gradient was counted up, for {label}")
    for odd in (np.inf, np.nan):
        grads = [np.array([1.0, odd]), np.array([2.0])]
        _, after, _ = student.drive("optimisers:clipped", grads, 1.0)
        expect(after, grads, f"gradients with {odd}, which no scale would mend")


def sgd_update(student: Student, rng: np.random.Generator) -> None:
    """Five steps against velocities summed from all gradients so far, written into the arrays' own memory."""
    settings = [(0.0, 0.0, 0.0, False), (0.9, 0.0, 0.0, False), (0.9, 0.3, 0.0, False), (0.8, 0.0, 0.1, False)]
    for momentum, dampening, decay, nesterov in [*settings, (0.9, 0.0, 0.0, True), (0.9, 0.0, 0.1, True), (0.0, 0.0, 0.2, False)]:
        params = [rng.standard_normal(shape) for shape in [(3, 2), (4,)]]
        buffers = [np.zeros_like(p) for p in params] if momentum else []
        history: list[list[np.ndarray]] = [[] for _ in params]
        wanted = [p.copy() for p in params]
        for step in range(1, 6):
            grads = [rng.standard_normal(p.shape) for p in params]
            for i, g in enumerate(grads):
                history[i].append(g + decay * wanted[i])
                ages = range(len(history[i]) - 1, -1, -1)
                b = sum(
                    momentum**age * (1.0 if j == 0 else 1 - dampening) * h
                    for j, (age, h) in enumerate(zip(ages, history[i], strict=True))
                )
                wanted[i] = wanted[i] - 0.1 * (history[i][-1] + momentum * b if nesterov else b if momentum else history[i][-1])
            _, arguments = student.drive("in_place", params, grads, buffers, step, 0.1, momentum, dampening, decay, nesterov)
            params, after, buffers = arguments[:3]
            what = f"at step {step} with momentum={momentum}, dampening={dampening}, weight_decay={decay}, nesterov={nesterov}"
            expect(params, wanted, f"the parameters {what}")
            expect(after, grads, f"the gradients, which are not written to, {what}", tolerance=0)


def adamw_update(student: Student, rng: np.random.Generator) -> None:
    """Four steps against weighted means of all gradients so far, written into the arrays' own memory."""
    for betas, eps, decay in [
        ((0.9, 0.999), 1e-8, 0.0),
        ((0.9, 0.99), 1e-8, 0.3),
        ((0.5, 0.9), 0.1, 0.0),
        ((0.0, 0.0), 1e-3, 0.1),
    ]:
        params = [rng.standard_normal(shape) for shape in [(3, 2), (4,)]]
        first, second = ([np.zeros_like(p) for p in params] for _ in range(2))
        history: list[list[np.ndarray]] = [[] for _ in params]
        wanted = [p.copy() for p in params]
        for step in range(1, 5):
            grads = [rng.standard_normal(p.shape) for p in params]
            for i, g in enumerate(grads):
                history[i].append(g)
                m, v = (_mean([h**power for h in history[i]], beta) for power, beta in zip((1, 2), betas, strict=True))
                wanted[i] = (1 - 0.01 * decay) * wanted[i] - 0.01 * m / (np.sqrt(v) + eps)
            _, arguments = student.drive("in_place", params, grads, first, second, step, 0.01, betas, eps, decay)
            params, after, first, second = arguments[:4]
            what = f"at step {step} with betas={betas}, eps={eps}, weight_decay={decay}"
            expect(params, wanted, f"the parameters {what}")
            expect(after, grads, f"the gradients, which are not written to, {what}", tolerance=0)


def _mean(history: list[np.ndarray], beta: float) -> Any:
    """The mean with weights beta^age: what bias correction makes of the running average."""
    return np.average(np.array(history), axis=0, weights=beta ** np.arange(len(history))[::-1])


def updates_so_far(student: Student, rng: np.random.Generator) -> None:
    """Parameters without a gradient stay behind in their count, and are grouped with those of the same count."""
    calls = [[True, True, True], [True, False, True], [False, False, False], [True, True, False], [True, True, True]]
    for have in (calls, (rng.random((6, 5)) < 0.6).tolist()):
        counts, wanted = [0] * len(have[0]), []
        for now in have:
            counts = [count + has for count, has in zip(counts, now, strict=True)]
            steps = sorted({count for count, has in zip(counts, now, strict=True) if has})
            wanted.append([(s, [i for i, has in enumerate(now) if has and counts[i] == s]) for s in steps])
        got = student.drive("optimisers:rounds", have)
        for call, (one, other) in enumerate(zip(got, wanted, strict=True)):
            expect(one, other, f"(step, parameters) at call {call}, where the parameters with a gradient were {have[: call + 1]}")
    step, names = expect_parts(student.drive("optimisers:remembers"), "step names")
    expect(step, 2, "the count of a parameter that had a gradient at two of three steps of SGD")
    expect(names, ["momentum_buffer", "step"], "what the state of that parameter holds")
