"""Learning from examples in the context: no gradient, and no weight moves.

Brown et al. 2020 (arXiv 2005.14165), section 2.4: before a question stand K worked examples, drawn anew for each; of several
options the one that the model finds likeliest is its answer. For any model of texts, `model(tokens)` (B, T) -> logits (B, T, V)
with those at t of token t + 1, such as GPT-2 and GPT-3.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import functional as F
from .recording import no_grad

__all__ = ["Question", "few_shot", "log_probabilities", "option_scores", "pairs", "prompt"]

Tokens = Sequence[int]


@dataclass(frozen=True)
class Question:
    """Tokens of a question and of its options, and the number of the right one; an example shows both."""

    question: Tokens
    options: Sequence[Tokens]
    answer: int

    @classmethod
    def of(cls, encode: Callable[[str], Tokens], question: str, options: Sequence[str], answer: int) -> Question:
        """From texts, by a tokeniser's encode. Each part is encoded alone: give an option the space that stands before it."""
        return cls(encode(question), [encode(option) for option in options], answer)


def prompt(examples: Sequence[Question], question: Tokens, separator: Tokens = ()) -> list[int]:
    """The examples, each its question and its right option with a separator behind them, and then the question itself."""
    worked = [[*each.question, *each.options[each.answer], *separator] for each in examples]
    return [*(token for each in worked for token in each), *question]


@no_grad()
def log_probabilities(model: Any, contexts: Sequence[Tokens], options: Sequence[Tokens], batch: int = 64) -> list[np.ndarray]:
    """log p(token | its context and what stands between) of every token of options[i] behind contexts[i]: arrays (tokens).

    Texts of unlike length are read together: what fills the shorter ones stands behind them, where nobody looks.
    """
    if empty := [i for i, (c, o) in enumerate(zip(contexts, options, strict=True)) if not len(c) or not len(o)]:
        raise ValueError(f"a context and an option are one token at least, and number {empty[0]} is not: give it a separator")
    found: list[np.ndarray] = []
    for start in range(0, len(contexts), batch):
        part = list(zip(contexts[start : start + batch], options[start : start + batch], strict=True))
        tokens = np.zeros((len(part), max(len(c) + len(o) for c, o in part)), np.int64)
        for row, (context, option) in zip(tokens, part, strict=True):
            row[: len(context) + len(option)] = [*context, *option]
        logits = model(tokens[:, :-1]).numpy().astype(np.float64)  # (B, T - 1, V), those at t of token t + 1
        for i, (context, option) in enumerate(part):
            at = np.arange(len(context), len(context) + len(option))
            found.append(F.log_softmax(logits[i, at - 1], -1)[np.arange(len(at)), np.asarray(option)])
    return found


def option_scores(log_p: Sequence[Any], per_token: bool = True, unconditional: Sequence[Any] | None = None) -> np.ndarray:
    """What is compared between the options of one question, the larger the better.  -> (options)

    log_p[i]: log p of every token of option i, an array (tokens), options of unlike lengths among them.

        score_i = sum_t log p_it - sum_t log u_it        divided by the tokens of option i where per_token

    unconditional[i]: log u of the same tokens, where only a context that is the same for all questions stands before them
    ("Answer: "), so that an option does not win because it is common. None: nothing is taken off.
    """
    taken = [0.0] * len(log_p) if unconditional is None else [np.sum(u) for u in unconditional]
    sums = np.array([np.sum(p) - u for p, u in zip(log_p, taken, strict=True)])
    return sums / [len(p) for p in log_p] if per_token else sums


def few_shot(
    model: Any, pool: Sequence[Question], questions: Sequence[Question], shots: Sequence[int], *, draws: int = 3,
    per_token: bool = True, answer_context: Tokens = (), separator: Tokens = (), seed: int = 0, batch: int = 64,
) -> np.ndarray:  # fmt: skip
    """Shares of right answers (len(shots), draws), with K examples from the pool before each question for K of `shots`.

    Each draw chooses its examples for every question anew; those of a smaller K are the first of a larger one's. answer_context:
    where there is one, scores are compared with those behind it alone (option_scores). ValueError where K examples are more than
    the pool has, or more than the model's n_positions hold.
    """
    if not questions or min(shots) < 0 or max(shots) > len(pool):
        raise ValueError(f"questions, and from 0 to {len(pool)} examples of the pool; got {len(questions)} and {list(shots)}")
    rng, answers = np.random.default_rng(seed), np.array([each.answer for each in questions])
    orders = [[rng.permutation(len(pool))[: max(shots)] for _ in questions] for _ in range(draws)]
    shares, training = np.zeros((len(shots), draws)), model.training
    model.eval()
    try:
        alone = _by_option(model, [answer_context] * len(questions), questions, batch) if answer_context else None
        for (row, k), (draw, order) in itertools.product(enumerate(shots), enumerate(orders)):
            known = [[pool[i] for i in chosen[:k]] for chosen in order]
            contexts = [prompt(examples, each.question, separator) for examples, each in zip(known, questions, strict=True)]
            _check_room(model, k, contexts, questions)
            found = zip(_by_option(model, contexts, questions, batch), alone or [None] * len(questions), strict=True)
            shares[row, draw] = np.mean([option_scores(p, per_token, u).argmax() for p, u in found] == answers)
    finally:
        model.train(training)
    return shares


def _by_option(model: Any, contexts: Sequence[Tokens], questions: Sequence[Question], batch: int) -> list[Any]:
    """Of each question, behind its context: the log-probabilities of each option's tokens."""
    asked = [(context, option) for context, each in zip(contexts, questions, strict=True) for option in each.options]
    found = iter(log_probabilities(model, *zip(*asked, strict=True), batch))
    return [[next(found) for _ in each.options] for each in questions]


def _check_room(model: Any, k: int, contexts: Sequence[Tokens], questions: Sequence[Question]) -> None:
    texts = zip(contexts, questions, strict=True)
    longest = max(len(context) + max(map(len, each.options)) for context, each in texts) - 1  # the last token is not read
    room = getattr(model.config, "n_positions", longest)
    if longest > room:
        told = f"with K = {k} examples a question is a text of {longest} tokens, and this model reads n_positions = {room}"
        raise ValueError(f"{told}: ask for fewer examples, or build it for more")


def pairs(rng: np.random.Generator, batch: int, count: int, keys: int, values: int) -> tuple[np.ndarray, np.ndarray]:
    """Texts whose answers stand nowhere but in the text: key, value, key, value, ... by a table of each text's own.

    -> tokens (batch, 2 count), tables (batch, keys). tables[b, k], drawn from 0 to values - 1, is key k's value in text b; every
    key of the text is drawn from 0 to keys - 1. Token k is key k, token keys + v is value v.
    """
    tables = rng.integers(values, size=(batch, keys))
    drawn = rng.integers(keys, size=(batch, count))
    return np.stack([drawn, keys + np.take_along_axis(tables, drawn, 1)], axis=2).reshape(batch, 2 * count), tables
