"""GPT-2's parts: merges of a word, a memory, attention without a future, nats per token, and what is drawn from."""

from __future__ import annotations

import numpy as np

from ...tape import Tensor
from ..drivers.gpt2 import small
from ..expect import expect, expect_parts
from ..proxy import Student


def merges(student: Student, rng: np.random.Generator) -> None:
    """By hand: the lowest rank first, everywhere, until no pair has one."""
    ranks = {("b", "c"): 0, ("a", "b"): 1, ("bc", "d"): 2, ("a", "a"): 3, ("aa", "bcd"): 4, ("c", "d"): 5, ("d", "ab"): 6}
    cases = {
        "abcd": ["a", "bcd"], "abab": ["ab", "ab"], "aaa": ["aa", "a"], "aabcd": ["aabcd"], "a": ["a"], "xyz": ["x", "y", "z"],
        "dabcd": ["d", "a", "bcd"], "dab": ["dab"], "abcabc": ["a", "bc", "a", "bc"], "cdcd": ["cd", "cd"],
        "daba": ["dab", "a"],
    }  # fmt: skip
    for word, wanted in cases.items():
        pairs = ", ".join(f"{a}+{b}" for a, b in ranks)
        expect(student([*word], ranks), wanted, f"the tokens of {word!r}, of merges {pairs}")
    expect(student([*"ab"], {}), ["a", "b"], "the tokens of 'ab' without merges")


def memory(student: Student, rng: np.random.Generator) -> None:
    """Texts that come in parts of several lengths, in two blocks: all keys and values so far, and nothing behind them."""
    for batch, lengths in [(1, (3, 1, 2)), (2, (1, 1)), (1, (6,)), (3, (2, 3))]:
        parts = [[tuple(rng.standard_normal((2, batch, 2, n, 4))) for _ in range(2)] for n in lengths]
        found = student.drive("gpt2:memory", batch, parts)
        answers, length = expect_parts(found, "answers length")
        label = f"a text in parts of {', '.join(map(str, lengths))} tokens, {batch} at once"
        for i, answer in enumerate(answers):
            part, block = divmod(i, 2)
            keys, values = expect_parts(answer, "keys values")
            for name, got, which in (("keys", keys, 0), ("values", values, 1)):
                wanted = np.concatenate([parts[j][block][which] for j in range(part + 1)], axis=2)
                expect(got, wanted, f"{label}: the {name} of block {block} with part {part + 1}")
        expect(length, sum(lengths), f"{label}: self.length, which stays as it is")


def attend(student: Student, rng: np.random.Generator) -> None:
    """Query by query: the keys up to its own token, with as many keys as queries and with more."""
    for batch, T, N in [(2, 4, 4), (1, 1, 5), (1, 3, 7), (2, 2, 3), (1, 1, 1)]:
        q, k, v = rng.standard_normal((batch, 2, T, 3)), *rng.standard_normal((2, batch, 2, N, 3))
        wanted = np.empty_like(q)
        for at in np.ndindex(batch, 2):
            for i in range(T):
                seen = N - T + i + 1
                scores = np.exp([q[at][i] @ k[at][j] / np.sqrt(3) for j in range(seen)])
                wanted[at][i] = sum(s * v[at][j] for j, s in enumerate(scores)) / scores.sum()
        got = student(None, Tensor(q), Tensor(k), Tensor(v))
        expect(got, Tensor(wanted), f"attention of {T} queries to {N} keys, {batch} texts, D_h = 3")


def loss(student: Student, rng: np.random.Generator) -> None:
    """-log p of every token behind the first, each from a text that ends before it; arrays and Tensors."""
    for batch, length in [(1, 6), (3, 4), (2, 2)]:
        model = small()
        state = {name: rng.normal(float("ln_" in name), 0.5, value.shape) for name, value in model.state_dict().items()}
        model.load_state_dict(state)
        tokens = rng.integers(9, size=(batch, length))
        costs = []
        for row in tokens.tolist():
            for t in range(1, length):
                logits = model(np.array([row[:t]])).numpy()[0, -1]
                costs.append(-np.log(np.exp(logits[row[t]]) / np.exp(logits).sum()))
        wanted, label = Tensor(np.float64(np.mean(costs))), f"the loss of tokens ({batch}, {length}), in nats per token"
        expect(student.drive("gpt2:loss", state, tokens), wanted, label)
        expect(student.drive("gpt2:loss", state, Tensor(tokens)), wanted, f"{label}, a Tensor")


def drawn(student: Student, rng: np.random.Generator) -> None:
    """Token by token in plain Python: temperature, ties with the k-th, and both conventions of the share."""
    shares = np.array([0.05, 0.4, 0.2, 0.05, 0.2, 0.1])
    settings = [(1.0, 0, 1.0, True), (0.5, 0, 1.0, True), (1.0, 2, 1.0, True), (1.0, 9, 1.0, True), (1.0, 1, 1.0, True)]
    settings += [(1.0, 0, share, way) for share in (0.3, 0.5, 0.7, 0.97) for way in (True, False)]
    settings += [(t, 0, share, way) for t in (0.5, 2.0) for share in (0.35, 0.6) for way in (True, False)]
    settings += [(2.0, 3, 0.65, True), (2.0, 3, 0.65, False), (0.5, 4, 0.9, True), (0.5, 4, 0.9, False), (0.0, 0, 1.0, True)]
    for temperature, top_k, top_p, crossing in settings:
        label = f"p for softmax {shares.tolist()}, temperature {temperature}, top_k {top_k}, top_p {top_p}, crossing {crossing}"
        got = student(np.log(shares) + 1.5, temperature, top_k, top_p, crossing)
        expect(got, _drawn(shares.tolist(), temperature, top_k, top_p, crossing), label)


def _drawn(shares: list[float], temperature: float, top_k: int, top_p: float, crossing: bool) -> np.ndarray:
    """What is left of such shares."""
    if temperature == 0.0:
        return np.array([float(i == shares.index(max(shares))) for i in range(len(shares))])
    least = sorted(shares, reverse=True)[min(top_k or len(shares), len(shares)) - 1]
    p = [share ** (1 / temperature) * (share >= least) for share in shares]
    p = [each / sum(p) for each in p]
    if top_p < 1.0:
        order, had = sorted(range(len(p)), key=lambda i: (-p[i], i)), 0.0
        kept: set[int] = set()
        for i in order:
            if had >= top_p or (not crossing and kept and had + p[i] > top_p):
                break
            kept.add(i)
            had += p[i]
        if not crossing:  # and what is as large as the last
            kept = {i for i in order if p[i] >= min(p[j] for j in kept)}
        p = [each * (i in kept) for i, each in enumerate(p)]
    return np.array(p) / sum(p)
