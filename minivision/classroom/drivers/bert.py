"""A small BERT of float64, with weights that are sent, around a method that a student wrote; words; hidden tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models import create_model
from ...text import WordPiece

WORDS, LONGEST_TEXT = 9, 7


def small() -> Any:
    """Two blocks, 8 wide, for texts of up to seven of nine tokens."""
    sizes: dict[str, Any] = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    made = create_model("bert_tiny", **sizes, vocab_size=WORDS, max_position_embeddings=LONGEST_TEXT)
    return made.double().eval()


def embedded(student: Callable[..., Any], state: dict[str, np.ndarray], *args: Any) -> Any:
    """student(self, tokens, segments) where self is the embeddings of the small BERT with these weights."""
    made = small()
    made.load_state_dict(state)
    return student(made.bert.embeddings, *args)


def encoded(student: Callable[..., Any], state: dict[str, np.ndarray], *args: Any) -> tuple[np.ndarray, np.ndarray]:
    """(hidden, pooled) of student(self, tokens, segments, seen) where self is the small BERT's body with these weights."""
    made = small()
    made.load_state_dict(state)
    hidden, pooled = student(made.bert, *args)
    return hidden.numpy(), pooled.numpy()


def word(student: Callable[..., Any], pieces: list[str], text: str) -> Any:
    """student(self, text) where self is a WordPiece of [UNK], [CLS], [SEP] and these pieces, numbered in this order."""
    return student(WordPiece({piece: number for number, piece in enumerate(["[UNK]", "[CLS]", "[SEP]", *pieces])}), text)


def hidden(student: Callable[..., Any], tokens: np.ndarray, seed: int, *args: Any) -> Any:
    """student(tokens, rng, mask, vocab_size, special, share) with a generator of this seed."""
    return student(tokens, np.random.default_rng(seed), *args)
