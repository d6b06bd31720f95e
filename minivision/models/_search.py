"""The likeliest sentence of a model that says one token after the other: greedily, and with several beginnings at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

LogP = Callable[[np.ndarray], np.ndarray]  # K beginnings (K, T) of tokens -> (K, V), log p(the next token | the beginning)


def greedy_search(log_p: LogP, start: int, end: int, longest: int) -> list[int]:
    """The likeliest token each time, of equals the first, up to `end`, which is the last, or to `longest` tokens."""
    tokens = [start]
    while len(tokens) <= longest and (len(tokens) == 1 or tokens[-1] != end):
        tokens.append(int(log_p(np.array([tokens]))[0].argmax()))
    return tokens[1:]


def penalty(n: int, alpha: float) -> float:
    """((5 + n) / 6)^alpha of a sentence of n tokens, `end` among them.  Wu et al. 2016 (arXiv 1609.08144), eq. 14."""
    return ((5 + n) / 6) ** alpha


def beam_search(log_p: LogP, start: int, end: int, longest: int, beam: int = 4, alpha: float = 0.6) -> tuple[list[int], float]:
    """The best sentence found, without `start`, and its score:  log P / penalty(n, alpha),  n <= longest its tokens with `end`.

    Step by step each beginning may close with `end`, and of all that go on the `beam` likeliest are kept. It is over when none of
    those can win any more, or after `longest` steps. A beam as wide as there are beginnings finds the best of all sentences.
    """
    if longest < 1 or beam < 1 or alpha < 0.0:
        raise ValueError(f"longest and beam are at least 1, alpha at least 0; got {longest}, {beam}, {alpha}")
    starts, totals, best, score = np.array([[start]]), np.zeros(1), [end], -np.inf  # (K, T) and (K)
    for n in range(1, longest + 1):
        grown = totals[:, None] + log_p(starts)  # (K, V)
        closing = int(grown[:, end].argmax())
        closed = float(grown[closing, end]) / penalty(n, alpha)
        if closed > score:
            best, score = [*starts[closing, 1:].tolist(), end], closed
        grown[:, end] = -np.inf
        order = np.argsort(-grown, axis=None, kind="stable")[:beam]
        parents, tokens = np.unravel_index(order, grown.shape)  # (K) each
        starts, totals = np.concatenate([starts[parents], tokens[:, None]], axis=1), grown[parents, tokens]
        if totals[0] / penalty(longest, alpha) <= score:  # log P only falls, and no sentence has a larger penalty
            break
    return best, score


def search(log_p: LogP, start: int, end: int, longest: int, beam: int, alpha: float) -> list[int]:
    """The sentence of `greedy_search` where the beam is 1, else of `beam_search`, of which every sentence has an end."""
    if beam == 1:
        return greedy_search(log_p, start, end, longest)
    return beam_search(log_p, start, end, longest, beam, alpha)[0]
