"""Writing with a language model, token by token: temperature, top-k and top-p.

Fan, Lewis, Dauphin 2018 (arXiv 1805.04833) for top-k; Holtzman et al. 2020 (arXiv 1904.09751) for top-p.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .recording import no_grad

__all__ = ["generate", "probabilities"]


def probabilities(
    logits: np.ndarray, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, crossing: bool = True
) -> np.ndarray:
    """What the next token is drawn from: logits (V) -> float64 (V) that sum to 1.

    First softmax(logits / temperature); temperature 0 is all on the largest, of equals on the first. Then top_k (0: all) leaves
    the k largest and whatever is as large as the k-th. Then top_p (1: all) leaves the fewest tokens that have at least the share
    top_p of what was left, the largest first, of equals the first: the convention of transformers, where the token that crosses
    the share stays. crossing=False drops it, unless it is the largest, and leaves whatever is as large as the last that stays:
    the convention of OpenAI's code for GPT-2. ValueError for settings out of range.
    """
    if not (temperature >= 0.0 and top_k >= 0 and 0.0 < top_p <= 1.0):
        raise ValueError(f"temperature and top_k are at least 0, top_p above 0 up to 1; got {temperature}, {top_k}, {top_p}")
    logits = np.asarray(logits, np.float64)
    if temperature == 0.0:
        return np.eye(1, len(logits), int(logits.argmax()))[0]
    if 0 < top_k < len(logits):
        logits = np.where(logits >= np.partition(logits, -top_k)[-top_k], logits, -np.inf)
    p = np.exp((logits - logits.max()) / temperature)
    p /= p.sum()
    if top_p < 1.0:
        order = np.argsort(-p, kind="stable")
        sums = np.cumsum(p[order])  # of each, what it and the larger ones have together
        if crossing:
            p[order[sums - p[order] >= top_p]] = 0.0
        else:
            p[p < p[order[max(np.count_nonzero(sums <= top_p) - 1, 0)]]] = 0.0
        p /= p.sum()
    return p


def generate(
    model: Any,
    tokens: Any,
    count: int,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    crossing: bool = True,
    seed: int = 0,
    end: int | None = None,
) -> Iterator[int]:
    """Goes on with a text of tokens (T), T > 0: yields up to `count` more, each as soon as it is drawn, by `probabilities`.

    The model remembers keys and values, so that each token is read once. Where its places are used up, it reads the later half of
    them anew. Ends at the token `end`. The same seed draws the same text.
    """
    known, rng = [int(token) for token in np.asarray(tokens).reshape(-1)], np.random.default_rng(seed)
    if not known:
        raise ValueError("a text begins with a token at least: give the model a prompt")
    room = model.config.n_positions
    memory, unread = model.memory(), known[-room:]
    for _ in range(count):
        if memory.length + len(unread) > room:
            memory, unread = model.memory(), known[-max(room // 2, 1) :]
        with no_grad():
            logits = model(np.array([unread]), memory, last=True).numpy()[0, -1]
        p = probabilities(logits, temperature, top_k, top_p, crossing)
        sums = np.cumsum(p)
        drawn = int(np.searchsorted(sums / sums[-1], rng.random(), side="right"))
        known.append(drawn)
        yield drawn
        if drawn == end:
            return
        unread = [drawn]
