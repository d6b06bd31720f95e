"""Attention, small Transformers of float64 and a search, each around what a student wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...models import create_model
from ...models.transformer_decoder import ATTENTIONS, TransformerDecoderConfig


def small() -> Any:
    """One layer each, 8 wide, for 6 tokens, of which 0 to 2 are special."""
    sizes: dict[str, Any] = {
        "d_model": 8,
        "nhead": 2,
        "num_encoder_layers": 1,
        "num_decoder_layers": 1,
        "dim_feedforward": 8,
        "vocab_size": 6,
    }
    return create_model("transformer_tiny", **sizes).double().eval()


def attention(kind: str, heads: int, **overrides: Any) -> Any:
    """An attention 12 wide: F full, L local, M memory-compressed."""
    config = TransformerDecoderConfig(kind, 12, heads, vocab_size=6, **overrides)
    return ATTENTIONS[kind](config).double().eval()


def model(student: Callable[..., Any], state: dict[str, np.ndarray], *args: Any) -> Any:
    """student(self, ...) where self is the small Transformer with these weights."""
    made = small()
    made.load_state_dict(state)
    return student(made, *args)


def attend(student: Callable[..., Any], kind: str, heads: int, state: dict[str, np.ndarray], *args: Any, **overrides: Any) -> Any:
    """student(self, ...) where self is an attention with these weights."""
    made = attention(kind, heads, **overrides)
    made.load_state_dict(state)
    return student(made, *args)


def compress(student: Callable[..., Any], state: dict[str, np.ndarray], x: Any, heads: int, compression: int) -> Any:
    """student(self, convolution, x) where the convolution is that of the keys."""
    made = attention("M", heads, compression=compression)
    made.load_state_dict(state)
    return student(made, made.keys, x)


def said(table: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """log p of the next token by the last two and how many there are: table (longest, V, V, V) of log-probabilities."""

    def log_p(starts: np.ndarray) -> np.ndarray:
        n = starts.shape[1]
        return table[n - 1, starts[:, max(n - 2, 0)], starts[:, -1]]

    return log_p


def beam(student: Callable[..., Any], table: np.ndarray, start: int, end: int, beam: int, alpha: float) -> Any:
    """student(log_p, ...) for sentences of at most as many tokens as the table has steps."""
    return student(said(table), start, end, len(table), beam, alpha)
