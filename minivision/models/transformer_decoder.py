"""Generating Wikipedia by Summarizing Long Sequences.

Liu, Saleh, Pot, Goodrich, Sepassi, Kaiser, Shazeer. ICLR 2018, arXiv 1801.10198.

Source and target become one sequence with a separator between them, and a Transformer's decoder alone learns to go on with it.
For sequences of many thousand tokens, layers that look only within blocks take turns with layers that look at everything, but at
a third of the keys.

Names are transformer.py's. Deviations: no mixture of experts; the first token, which nothing stands before, is not predicted; no
dropout unless asked for. What the paper leaves open is as in the authors' code (tensor2tensor): norms behind the branches, and a
first token that all may see. There the convolution comes before keys and values are made; here behind, as the paper says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import functional as F
from .. import nn
from ..errors import ShapeError
from ..ops.elementwise import raw
from ..recording import no_grad
from ._backbone import Texts
from ._registry import register
from ._search import search
from .transformer import MultiheadAttention, sinusoids


class LocalAttention(MultiheadAttention):
    """Section 4.2.4, "Local attention": the sequence is cut into blocks, and a token sees itself and those before it in its own.

    N tokens in blocks of n have N n pairs in place of N^2: the cost grows as the length does.
    """

    def __init__(self, config: TransformerDecoderConfig) -> None:
        super().__init__(config.d_model, config.nhead, config.attention_bias)
        self.block = config.block

    def attend(self, q: Any, k: Any, v: Any, mask: Any, causal: bool) -> Any:
        """(B, h, N, d_k) -> the same; token t sees s <= t where s // block = t // block. Always causal, with no other mask."""
        N, n = q.shape[2], self.block
        if n >= N:
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)
        q, k, v = (F.pad(each, (0, 0, 0, -N % n)).unflatten(2, (-1, n)) for each in (q, k, v))  # (B, h, blocks, n, d_k)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, h, blocks, n, d_k)
        return y.flatten(2, 3)[:, :, :N]  # what fills the last block stands behind all


class CompressedAttention(MultiheadAttention):
    """Section 4.2.4, "Memory-compressed attention": each `compression` keys, and values, become one, by a convolution."""

    def __init__(self, config: TransformerDecoderConfig) -> None:
        super().__init__(config.d_model, config.nhead, config.attention_bias)
        d, self.compression = config.d_model, config.compression
        self.keys = nn.Conv1d(d, d, self.compression, stride=self.compression)
        self.values = nn.Conv1d(d, d, self.compression, stride=self.compression)

    def attend(self, q: Any, k: Any, v: Any, mask: Any, causal: bool) -> Any:
        """(B, h, N, d_k) -> the same, of 1 + N // compression keys: the first token's, then those of whole groups.

        Always causal, by `visible`, with no other mask. Tokens behind the last whole group are no keys: none may see them yet.
        """
        seen = visible(q.shape[2], self.compression)  # (N, 1 + N // compression)
        return super().attend(q, self.compress(self.keys, k), self.compress(self.values, v), seen, False)

    def compress(self, convolution: nn.Conv1d, x: Any) -> Any:
        """(B, h, N, d_k) -> (B, h, 1 + N // compression, d_k)"""
        B, heads, N, width = x.shape
        if self.compression > N:
            return x[:, :, :1]
        groups = convolution(x.transpose(2, 3).flatten(1, 2))  # (B, d, N // compression)
        groups = groups.reshape(B, heads, width, -1).transpose(2, 3)  # (B, h, N // compression, d_k)
        return np.concatenate([x[:, :, :1], groups], axis=2)


def visible(length: int, compression: int) -> np.ndarray:
    """Which compressed keys a token may see: those of whose tokens every one stands before it.  (N, 1 + N // compression)

    Key 0 is the first token's own, which all see, as the authors' code has it: there is no other for the first `compression`
    tokens. Key j > 0 is of the tokens s from (j - 1) compression on to j compression - 1, and token t sees it from
    t = j compression on.
    """
    return np.arange(length)[:, None] >= compression * np.arange(1 + length // compression)


class FullAttention(MultiheadAttention):
    """Section 4.2.3, the decoder's own: a token sees itself and all before it."""

    def __init__(self, config: TransformerDecoderConfig) -> None:
        super().__init__(config.d_model, config.nhead, config.attention_bias)


ATTENTIONS = {"F": FullAttention, "L": LocalAttention, "M": CompressedAttention}


class Layer(nn.Module):
    """The Transformer's decoder without a look at an encoder.  a = norm(x + attention(x)),  norm(a + FFN(a))"""

    def __init__(self, config: TransformerDecoderConfig, kind: str) -> None:
        super().__init__()
        d = config.d_model
        self.self_attn = ATTENTIONS[kind](config)
        self.linear1, self.linear2 = nn.Linear(d, config.dim_feedforward), nn.Linear(config.dim_feedforward, d)
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Any) -> Any:
        """(B, N, d) -> the same"""
        x = self.norm1(x + self.dropout(self.self_attn(x, causal=True)))
        return self.norm2(x + self.dropout(self.linear2(self.linear1(x, activation="relu"))))


class TransformerDecoder(nn.Module):
    """Section 4.2.3: tokens (B, N) -> logits (B, N, V); those at t are of token t + 1."""

    def __init__(self, config: TransformerDecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList([Layer(config, kind) for kind in config.layers])
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
        nn.init.normal_(self.embedding.weight, std=config.d_model**-0.5)

    def forward(self, tokens: Any) -> Any:
        """(B, N) of whole numbers below vocab_size -> (B, N, vocab_size), for any N; padding behind needs no mask"""
        if len(tokens.shape) != 2:
            problem = f"this model reads tokens (B, N), got {tuple(tokens.shape)}"
            raise ShapeError("transformer_decoder", problem, f"tokens {tuple(tokens.shape)}", "one sequence: tokens[None]")
        x = self.embedding(tokens) * float(np.sqrt(self.config.d_model))  # (B, N, d)
        x = self.dropout(x + sinusoids(x.shape[1], x.shape[2]).astype(x.dtype))
        for layer in self.layers:
            x = layer(x)
        return F.linear(x, self.embedding.weight)

    def joined(self, source: Any, target: Any) -> np.ndarray:
        """Section 4.2.3: source (N), the separator, target (M), and the end -> (N + M + 2)"""
        return np.concatenate([source, [self.config.separator], target, [self.config.end]]).astype(np.int64)

    def loss(self, tokens: Any) -> Any:
        """The mean of -log p(token | those before it), of source and target alike; without the first, and padding.

        tokens (B, N): sequences from `joined`, filled up with `pad` -> a number, in nats.
        """
        tokens = np.asarray(raw(tokens))
        logits = self(tokens[:, :-1]).flatten(0, 1)  # (B (N - 1), V)
        return F.cross_entropy(logits, tokens[:, 1:].reshape(-1), ignore_index=self.config.pad)

    @no_grad()
    def summarise(self, source: Any, longest: int, beam: int = 4, alpha: float = 0.6) -> list[int]:
        """What the model says behind a source (N) and the separator: at most `longest` tokens, `end` the last of them.

        beam 1 is greedy, and may come to no end. For every token all is read anew.
        """
        source = np.asarray(raw(source), np.int64)

        def log_p(starts: np.ndarray) -> np.ndarray:
            """(K, T), of which the separator is the first -> (K, V)"""
            tokens = np.concatenate([np.tile(source, (len(starts), 1)), starts], axis=1)  # (K, N + T)
            return F.log_softmax(self(tokens)[:, -1], -1).numpy()

        return search(log_p, self.config.separator, self.config.end, longest, beam, alpha)


@dataclass(frozen=True)
class TransformerDecoderConfig(Texts):
    """The layers and what a user may change.

    layers: one letter for each, F full attention, L local, M memory-compressed; block: tokens of a block; compression: kernel and
    stride of the convolution; length: tokens of the sequence whose multiply-adds are counted (there is no longest one).
    """

    longest: ClassVar[str] = "length"

    layers: str = "LMLML"
    d_model: int = 512
    nhead: int = 8
    dim_feedforward: int = 2048
    block: int = 256
    compression: int = 3
    vocab_size: int = 32000
    length: int = 4096
    dropout: float = 0.0
    attention_bias: bool = False
    pad: int = 0
    separator: int = 1
    end: int = 2

    def __post_init__(self) -> None:
        if self.d_model % self.nhead or self.d_model % 2:
            raise ValueError(f"d_model {self.d_model} must be a multiple of nhead {self.nhead} and even")
        if not self.layers or set(self.layers) - set(ATTENTIONS):
            raise ValueError(f"layers is a word of the letters {', '.join(ATTENTIONS)}, got {self.layers!r}")
        if self.block < 1 or self.compression < 1:
            raise ValueError(f"block and compression are at least 1, got {self.block} and {self.compression}")
        special = self.pad, self.separator, self.end
        if len({*special}) < 3 or min(special) < 0 or max(special) >= self.vocab_size:
            raise ValueError(f"pad, separator and end are three tokens below vocab_size {self.vocab_size}, got {special}")


@register("transformer_decoder", TransformerDecoderConfig("FFFFFF"))
@register("transformer_decoder_dmca", TransformerDecoderConfig("LMLML"))
@register("transformer_decoder_tiny", TransformerDecoderConfig("LMLML", 32, 4, 64, 8, vocab_size=16, length=32))
def build(config: TransformerDecoderConfig) -> TransformerDecoder:
    """A Transformer-Decoder of the given configuration."""
    return TransformerDecoder(config)
