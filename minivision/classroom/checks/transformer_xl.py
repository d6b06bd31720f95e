"""Transformer-XL: distances brought to keys, who sees whom, what is remembered, and a score written pair by pair."""

from __future__ import annotations

import math

import numpy as np

from ...tape import Tensor
from ..drivers.transformer_xl import small
from ..expect import expect, expect_that
from ..proxy import Student


def shift(student: Student, rng: np.random.Generator) -> None:
    """Pair by pair, for as many queries as keys and fewer; what lies in the future is not held."""
    for leading, T, N in [((), 1, 1), ((2,), 4, 4), ((2, 3), 3, 8), ((1,), 1, 5), ((), 4, 5)]:
        x = rng.standard_normal((*leading, T, N))
        wanted = np.zeros_like(x)
        for i in range(T):
            for j in range(N - T + i + 1):
                wanted[..., i, j] = x[..., i, N - 1 - (N - T + i - j)]
        got = student(Tensor(x))
        label = f"rel_shift of x {x.shape}, without the future"
        if isinstance(got, Tensor) and got.shape == x.shape:
            got = Tensor(np.where(np.tri(T, N, N - T, dtype=bool), got.data, 0))
        expect(got, Tensor(wanted), label)


def sees(student: Student, rng: np.random.Generator) -> None:
    """Token by token: the own and those before, all of them or the last mem_len."""
    for T, N, mem_len in [(3, 3, 2), (3, 5, 2), (1, 4, 3), (4, 10, 6), (2, 6, 1)]:
        for same in (False, True):
            wanted = np.zeros((T, N), bool)
            for i in range(T):
                own = N - T + i
                wanted[i, max(0, own - mem_len + 1) if same else 0 : own + 1] = True
            got = student.drive("transformer_xl:sees", T, N, mem_len=mem_len, same_length=same)
            expect(got, wanted, f"what {T} of {N} tokens see, mem_len={mem_len}, same_length={same}")


def memory(student: Student, rng: np.random.Generator) -> None:
    """A list of tokens for each text, whose end is kept; segments of several lengths, room for none and for more than all."""
    for room, lengths in [(4, (3, 3, 2)), (2, (5, 1)), (0, (2, 3)), (9, (2, 3))]:
        for dtype in (np.float64, np.float32):
            texts = [rng.standard_normal((2, T, 6)).astype(dtype) for T in lengths]
            given, left = student.drive("transformer_xl:memory", room, [Tensor(h, requires_grad=True) for h in texts])
            tokens = np.empty((2, 0, 6), dtype)
            for i, h in enumerate(texts):
                label = f"with room for {room}, segment {i} of {', '.join(map(str, lengths))} tokens, {np.dtype(dtype)}"
                expect(given[i], tokens, f"what is given {label}")
                tokens = np.concatenate([tokens, h], 1)
                tokens = tokens[:, [t for t in range(tokens.shape[1]) if t >= tokens.shape[1] - room]]
                expect(left[i], tokens, f"what is kept {label}")
            expect_that(left[-1].shape[1] == 0, "what another layer keeps", "nothing", left[-1])


def attention(student: Student, rng: np.random.Generator) -> None:
    """A loop over texts, heads, queries and keys; with memory and without, all seen and not all."""
    for B, T, M in [(2, 3, 2), (1, 2, 0)]:
        state = small().layers[0].dec_attn.state_dict()
        w = {name: rng.normal(float("norm.weight" in name), 0.7, value.shape) for name, value in state.items()}
        N = T + M
        h, before, r = (rng.standard_normal(shape) for shape in ((B, T, 6), (B, M, 6), (N, 6)))
        (u, v), seen = rng.standard_normal((2, 2, 2)), np.tri(T, N, N - T, bool)
        seen[-1, 0] = N == 1
        both, mixed = np.concatenate([before, h], 1), np.zeros((B, T, 4))
        q_net, k_net, v_net = w["qkv_net.weight"].reshape(3, 2, 2, 6)
        r_net = w["r_net.weight"].reshape(2, 2, 6)
        for b, head, i in np.ndindex(B, 2, T):
            q, total = q_net[head] @ h[b, i], 0.0
            for j in np.flatnonzero(seen[i]):
                k, far = k_net[head] @ both[b, j], r_net[head] @ r[N - 1 - (M + i - j)]
                e = math.exp((q @ k + q @ far + u[head] @ k + v[head] @ far) / math.sqrt(2))
                mixed[b, i, 2 * head : 2 * head + 2] += e * (v_net[head] @ both[b, j])
                total += e
            mixed[b, i, 2 * head : 2 * head + 2] /= total
        y = h + mixed @ w["o_net.weight"].T
        y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-5)
        wanted = y * w["layer_norm.weight"] + w["layer_norm.bias"]
        given = Tensor(h), Tensor(before), Tensor(r), Tensor(u), Tensor(v), seen
        got = student.drive("transformer_xl:attention", w, *given)
        expect(got, Tensor(wanted), f"attention of {B} texts, {T} tokens behind {M} remembered")
