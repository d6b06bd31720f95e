"""A small GPT-2 of float64, and its memory, around a method that a student wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models import create_model
from ...tape import Tensor


def small() -> Any:
    """Two blocks, 8 wide, for texts of 6 of 9 tokens."""
    return create_model("gpt2_tiny", n_embd=8, n_layer=2, n_head=2, n_positions=6, vocab_size=9).double().eval()


def loss(student: Callable[..., Any], state: dict[str, np.ndarray], tokens: Any) -> Any:
    """student(self, tokens) where self is the small GPT-2 with these weights."""
    model = small()
    model.load_state_dict(state)
    return student(model, tokens)


def memory(student: Callable[..., Any], batch: int, parts: list[Any]) -> tuple[list[Any], int]:
    """What student(self, block, k, v) gives for each part of a text and each of two blocks, and how long the memory says it is.

    parts: of each, the keys and values of the two blocks, (k, v) each.
    """
    remembered = small().memory(batch)
    for store in (each for pair in remembered.blocks for each in pair):
        store[...] = np.nan  # what was not written
    answers = []
    for part in parts:
        for block, (k, v) in enumerate(part):
            found = student(remembered, block, Tensor(k), Tensor(v))
            answers.append([np.array(each) for each in found] if isinstance(found, (tuple, list)) else found)
        remembered.length += part[0][0].shape[2]
    return answers, remembered.length
