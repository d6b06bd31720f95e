"""Attention that took a convolution's place: each step against loops over pixels, offsets and heads, in float64."""

from __future__ import annotations

import functools

import numpy as np

from ...tape import Tensor
from ..expect import expect, expect_error, expect_parts
from ..proxy import Student


def softmax(logits: np.ndarray) -> np.ndarray:
    """Of a vector."""
    e = np.exp(logits - logits.max())
    return np.asarray(e / e.sum())


def window_offsets(student: Student, rng: np.random.Generator) -> None:
    """r of every head, place and channel; one head, one pixel, an even window among them."""
    for channels, window, heads in [(8, 3, 2), (4, 1, 1), (6, 2, 1), (12, 5, 3)]:
        rows, columns = rng.standard_normal((2, channels // 2, window))
        half = channels // heads // 2
        wanted = np.zeros((heads, 1, 1, window**2, 2 * half))
        for head, a, b, n in np.ndindex(heads, window, window, half):
            wanted[head, 0, 0, a * window + b, n] = rows[head * half + n, a]
            wanted[head, 0, 0, a * window + b, half + n] = columns[head * half + n, b]
        state = {"rel_h": rows[:, None, None, :, None], "rel_w": columns[:, None, None, None]}
        got = student.drive("attention_before_vit:layer", "local", (channels, channels, window, heads), state)
        expect(got, Tensor(wanted), f"r for {channels} channels, {heads} heads and a window of {window} x {window}")


def window_attention(student: Student, rng: np.random.Generator) -> None:
    """Each pixel and head alone; values of another width than queries, one head, one pixel among them."""
    for B, heads, d, e, H, W, places in [(2, 2, 3, 3, 3, 4, 9), (1, 1, 4, 2, 1, 1, 4), (1, 3, 2, 5, 2, 3, 1)]:
        query = rng.standard_normal((B, heads * d, H, W))
        keys, values = rng.standard_normal((B, heads, H, W, places, d)), rng.standard_normal((B, heads, H, W, places, e))
        wanted = np.zeros((B, heads * e, H, W))
        for b, head, i, j in np.ndindex(B, heads, H, W):
            p = softmax(keys[b, head, i, j] @ query[b, head * d : (head + 1) * d, i, j])
            wanted[b, head * e : (head + 1) * e, i, j] = p @ values[b, head, i, j]
        got = student(Tensor(query), Tensor(keys), Tensor(values))
        expect(got, Tensor(wanted), f"y for query {query.shape}, keys {keys.shape} and values {values.shape}")


def mixture(student: Student, rng: np.random.Generator) -> None:
    """p of every place and mixture; one mixture among them."""
    for mixtures, outputs, window in [(4, 6, 4), (1, 3, 2), (3, 2, 3)]:
        nu, rows, columns = (rng.standard_normal(shape) for shape in ((mixtures, outputs), (outputs, window), (outputs, window)))
        wanted = np.zeros((mixtures, window, window))
        for a, b in np.ndindex(window, window):
            wanted[:, a, b] = softmax(nu @ (rows[:, a] + columns[:, b]))
        state = {"emb_mix": nu, "emb_a": rows, "emb_b": columns}
        got = student.drive("attention_before_vit:layer", "stem", (3, outputs, window, mixtures), state)
        expect(got, Tensor(wanted), f"p for {mixtures} mixtures of {outputs} channels in a window of {window} x {window}")


def line_offsets(student: Student, rng: np.random.Generator) -> None:
    """r of every query and key, for lines of several lengths, one pixel among them."""
    for channels, groups, span in [(8, 2, 3), (4, 1, 5), (8, 2, 1)]:
        C = channels // groups
        table = rng.standard_normal((2 * C, 2 * span - 1))  # the relative position d in column d + span - 1
        wanted = [np.zeros((size, span, span)) for size in (C // 2, C // 2, C)]
        for i, j in np.ndindex(span, span):
            back, forth = table[:, i - j + span - 1], table[:, j - i + span - 1]
            wanted[0][:, i, j], wanted[1][:, i, j], wanted[2][:, i, j] = back[: C // 2], forth[C // 2 : C], back[C:]
        got = student.drive("attention_before_vit:layer", "axial", (channels, channels, groups, span), {"relative": table})
        told = f"relative {table.shape}, a span of {span}"
        for part, right, name in zip(expect_parts(got, "r^q r^k r^v"), wanted, ("r^q", "r^k", "r^v"), strict=True):
            expect(part, Tensor(right), f"{name} for {told}")


def line_weights(student: Student, rng: np.random.Generator) -> None:
    """Shares of every line, group and query, with norms that have seen something."""
    for lines, channels, groups, span in [(3, 8, 2, 4), (1, 4, 1, 3), (2, 12, 3, 2)]:
        C = channels // groups
        table, (q, k) = rng.standard_normal((2 * C, 2 * span - 1)), rng.standard_normal((2, lines, groups, C // 2, span))
        factor, bias, mean = rng.standard_normal((3, 3 * groups))
        variance = rng.uniform(0.5, 2.0, 3 * groups)
        wanted = np.zeros((lines, groups, span, span))
        for line, g, i in np.ndindex(lines, groups, span):
            logits = np.zeros(span)
            for j in range(span):
                query, key = q[line, g, :, i], k[line, g, :, j]
                to, back = table[: C // 2, i - j + span - 1], table[C // 2 : C, j - i + span - 1]
                for n, each in enumerate((query @ key, query @ to, key @ back)):
                    at = n * groups + g
                    logits[j] += (each - mean[at]) / np.sqrt(variance[at] + 1e-5) * factor[at] + bias[at]
            wanted[line, g, i] = softmax(logits)
        norm = {"weight": factor, "bias": bias, "running_mean": mean, "running_var": variance}
        state = {"relative": table, **{f"bn_similarity.{name}": value for name, value in norm.items()}}
        settings = channels, channels, groups, span
        got = student.drive("attention_before_vit:layer", "axial", settings, state, Tensor(q), Tensor(k))
        expect(got, Tensor(wanted), f"the weights for q and k {q.shape}, {groups} groups and a span of {span}")


def target_vectors(student: Student, rng: np.random.Generator) -> None:
    """v by differences of the logits between neighbouring shifts, which for a parabola are exact."""
    for heads, isotropic in [(9, True), (4, False), (1, True), (1, False)]:
        c = rng.standard_normal((heads, 2))
        s = rng.standard_normal(heads if isotropic else (heads, 2, 2))
        wanted = np.zeros((heads, 5))
        for h in range(heads):
            inverse = s[h] ** 2 * np.eye(2) if isotropic else s[h] @ s[h].T

            def logit(dy: int, dx: int, center: np.ndarray = c[h], inverse: np.ndarray = inverse) -> float:
                away = np.array([dy, dx]) - center
                return float(-away @ inverse @ away / 2)

            below, above, right, left, here = logit(1, 0), logit(-1, 0), logit(0, 1), logit(0, -1), logit(0, 0)
            corners = logit(1, 1) - logit(1, -1) - logit(-1, 1) + logit(-1, -1)
            wanted[h, :2] = (below - above) / 2, (right - left) / 2
            wanted[h, 2:] = (below + above) / 2 - here, (right + left) / 2 - here, corners / 4
        state = {"attention_centers": c, "attention_spreads": s}
        got = student.drive("attention_before_vit:layer", "quadratic", (3, 3, heads, isotropic), state)
        expect(got, Tensor(wanted), f"v of {heads} heads, isotropic={isotropic}")


def theorem(student: Student, rng: np.random.Generator) -> None:
    """The layer's answer by sums over pixels, for heads that look sharply and for heads that do not; what is no such filter."""
    sizes = (2, 3, 3, 0.4, True), (3, 1, 1, 2.0, False), (1, 2, 5, 1.0, True), (2, 2, 3, 50.0, False)
    for outputs, inputs, K, alpha, biased in sizes:
        weight, x = rng.standard_normal((outputs, inputs, K, K)), rng.standard_normal((4, 5, inputs))
        bias = rng.standard_normal(outputs) if biased else None
        wanted = np.zeros((4, 5, outputs)) + (0.0 if bias is None else bias)
        places = np.array(list(np.ndindex(4, 5)))
        for i, j, a, b in np.ndindex(4, 5, K, K):
            p = softmax(-alpha * ((places - (i + a - K // 2, j + b - K // 2)) ** 2).sum(1))
            wanted[i, j] += weight[:, :, a, b] @ (p @ x.reshape(20, inputs))
        got = student.drive("attention_before_vit:reading", Tensor(x[None]), Tensor(weight) if biased else weight, bias, alpha)
        y, heads = expect_parts(got, "y heads")
        told = f"weight {weight.shape}, {'a' if biased else 'no'} bias and alpha={alpha}"
        expect(heads, K * K, f"the heads for {told}")
        expect(y, Tensor(wanted[None]), f"what the layer makes of x (1, 4, 5, {inputs}), for {told}")
    zeros, square = Tensor(np.zeros((1, 4, 5, 2))), np.zeros((2, 2, 3, 3))
    refused = [(square[..., :2, :2], 1.0, "an even filter"), (square[..., :1], 1.0, "a filter of 3 x 1"),
               (square[0], 1.0, "a weight of three axes"), (square, 0.0, "alpha=0")]  # fmt: skip
    for weight, alpha, what in refused:
        ask = functools.partial(student.drive, "attention_before_vit:reading", zeros, weight, None, alpha)
        expect_error(ask, ValueError, what)
