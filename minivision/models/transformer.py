"""Attention Is All You Need.

Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin. NeurIPS 2017, arXiv 1706.03762.

A sentence is turned into another one by attention alone: an encoder whose tokens look at each other, and a decoder whose tokens
look at those before them and at the encoder's. Nothing runs along the sentence, so all its places are computed at once.

Names and keys are those of torch.nn.Transformer, and embedding.weight, the one table that source, target and logits share.
Deviations: no dropout unless asked for, and none of attention's weights; the decoder begins with a token of its own. Sines and
cosines take turns, as in the paper; the authors' code, tensor2tensor, has all sines first. For "about 37000" tokens (section 5.1)
there are 63.0 and 214.2 million parameters, where table 3 prints 65 and 213: no one number of tokens gives both. attention_bias
and final_norm add what torch.nn.Transformer has beyond the paper.
"""

from __future__ import annotations

from collections.abc import Callable
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


def sinusoids(length: int, width: int, start: int = 0) -> np.ndarray:
    """Section 3.5: PE(p, 2i) = sin(p / 10000^(2i / d)),  PE(p, 2i + 1) = cos(of the same),  p = start ... -> (length, width)"""
    angles = np.arange(start, start + length)[:, None] * 10000.0 ** (-np.arange(0, width, 2) / width)  # (length, width / 2)
    return np.stack([np.sin(angles), np.cos(angles)], -1).reshape(length, width)


def rotation(k: int, width: int) -> np.ndarray:
    """R_k with PE(p + k) = R_k PE(p) for every p: each pair of channels turns by k / 10000^(2i / d).  (width, width)

    Section 3.5 says that there is such a matrix: sin(a + b) = cos b sin a + sin b cos a,  cos(a + b) = cos b cos a - sin b sin a.
    """
    turns = np.zeros((width, width))
    i, angles = np.arange(0, width, 2), k * 10000.0 ** (-np.arange(0, width, 2) / width)  # (width / 2) each
    turns[i, i], turns[i + 1, i + 1] = np.cos(angles), np.cos(angles)
    turns[i, i + 1], turns[i + 1, i] = np.sin(angles), -np.sin(angles)
    return turns


class MultiheadAttention(nn.Module):
    """Section 3.2.2: head_i = attention(x W_i^Q, y W_i^K, y W_i^V),  [head_1 ... head_h] W^O,  d_k = d / h."""

    def __init__(self, d: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter((3 * d, d), nn.init.xavier_uniform())  # W^Q, W^K, W^V of all heads
        self.in_proj_bias = nn.Parameter((3 * d,)) if bias else None
        self.out_proj = nn.Linear(d, d, bias=bias)

    def forward(self, x: Any, y: Any = None, seen: Any = None, causal: bool = False) -> Any:
        """Queries of x (B, M, d), keys and values of y (B, N, d), or of x itself -> (B, M, d)

        seen (B, N): True where y may be seen. A query that sees nothing gets 0 from its heads.
        """
        d, weight, bias = x.shape[-1], self.in_proj_weight, self.in_proj_bias
        if y is None:
            q, k, v = (self.split(each) for each in F.linear(x, weight, bias).chunk(3, -1))  # 3 x (B, h, M, d_k)
        else:
            q = self.split(F.linear(x, weight[:d], None if bias is None else bias[:d]))  # (B, h, M, d_k)
            kv = F.linear(y, weight[d:], None if bias is None else bias[d:])  # (B, N, 2 d)
            k, v = (self.split(each) for each in kv.chunk(2, -1))  # 2 x (B, h, N, d_k)
        mask = None if seen is None else np.asarray(raw(seen), bool)[:, None, None, :]  # (B, 1, 1, N)
        return self.out_proj(self.attend(q, k, v, mask, causal).transpose(1, 2).flatten(2))  # (B, M, d)

    def attend(self, q: Any, k: Any, v: Any, mask: Any, causal: bool) -> Any:
        """Section 3.2.1, eq. 1: softmax(q k^T / sqrt(d_k)) v.  q (B, h, M, d_k), k and v (B, h, N, d_k) -> (B, h, M, d_k)"""
        return F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal)

    def split(self, x: Any) -> Any:
        """(B, N, d) -> (B, h, N, d_k)"""
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)  # (B, h, N, d_k)


class EncoderLayer(nn.Module):
    """Section 3.1: a = norm(x + attention(x)),  norm(a + FFN(a));  section 3.3: FFN(a) = max(0, a W_1 + b_1) W_2 + b_2"""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        d = config.d_model
        self.self_attn = MultiheadAttention(d, config.nhead, config.attention_bias)
        self.linear1, self.linear2 = nn.Linear(d, config.dim_feedforward), nn.Linear(config.dim_feedforward, d)
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Any, seen: Any = None) -> Any:
        """(B, N, d) -> the same; seen (B, N)"""
        x = self.norm1(x + self.dropout(self.self_attn(x, seen=seen)))
        return self.norm2(x + self.dropout(self.linear2(self.linear1(x, activation="relu"))))


class DecoderLayer(nn.Module):
    """Section 3.1: between the two a look at the encoder's output; a token sees of its own side itself and those before it."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        d, heads, bias = config.d_model, config.nhead, config.attention_bias
        self.self_attn, self.multihead_attn = MultiheadAttention(d, heads, bias), MultiheadAttention(d, heads, bias)
        self.linear1, self.linear2 = nn.Linear(d, config.dim_feedforward), nn.Linear(config.dim_feedforward, d)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(d), nn.LayerNorm(d), nn.LayerNorm(d)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Any, memory: Any, seen: Any = None) -> Any:
        """(B, M, d) -> the same; memory (B, N, d) is the encoder's output, seen (B, N) what of it may be seen"""
        x = self.norm1(x + self.dropout(self.self_attn(x, causal=True)))
        x = self.norm2(x + self.dropout(self.multihead_attn(x, memory, seen)))
        return self.norm3(x + self.dropout(self.linear2(self.linear1(x, activation="relu"))))


class Stack(nn.Module):
    """Layers, and a norm behind them where the configuration has one."""

    def __init__(self, layer: Callable[[TransformerConfig], nn.Module], count: int, config: TransformerConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList([layer(config) for _ in range(count)])
        self.norm = nn.LayerNorm(config.d_model) if config.final_norm else None

    def forward(self, x: Any, *others: Any) -> Any:
        """(B, N, d) -> the same; others: what every layer takes besides"""
        for layer in self.layers:
            x = layer(x, *others)
        return x if self.norm is None else self.norm(x)


class Transformer(nn.Module):
    """Figure 1: source (B, N) and target (B, M) -> logits (B, M, V); those at t are of the target's token t + 1."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Stack(EncoderLayer, config.num_encoder_layers, config)
        self.decoder = Stack(DecoderLayer, config.num_decoder_layers, config)
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
        nn.init.normal_(self.embedding.weight, std=config.d_model**-0.5)

    def forward(self, source: Any, target: Any = None, source_seen: Any = None) -> Any:
        """source (B, N) and target (B, M) of whole numbers below vocab_size -> (B, M, vocab_size)

        target: what the decoder reads, the sentence that `shifted` has moved right; None: the source. source_seen (B, N): False
        at padding; None: all may be seen. The target needs no such mask: its padding stands behind, where no token looks.
        """
        return self.decode(source if target is None else target, self.encode(source, source_seen), source_seen)

    def encode(self, source: Any, source_seen: Any = None) -> Any:
        """(B, N) -> (B, N, d)"""
        seen = source.shape if source_seen is None else np.shape(raw(source_seen))
        if len(source.shape) != 2 or seen != source.shape:
            problem = f"source (B, N) and source_seen of the same shape, got {tuple(source.shape)} and {seen}"
            raise ShapeError("transformer", problem, f"source {tuple(source.shape)}", "one sentence: source[None]")
        return self.encoder(self.embed(source), source_seen)

    def decode(self, target: Any, memory: Any, source_seen: Any = None) -> Any:
        """target (B, M), memory (B, N, d) from `encode` -> logits (B, M, V)"""
        if len(target.shape) != 2 or target.shape[0] != memory.shape[0]:
            given = f"target {tuple(target.shape)}, memory {tuple(memory.shape)}"
            raise ShapeError("transformer", "a target (B, M) for every source", given, "one sentence: target[None]")
        return F.linear(self.decoder(self.embed(target), memory, source_seen), self.embedding.weight)

    def embed(self, tokens: Any) -> Any:
        """Sections 3.4 and 3.5: sqrt(d) times the token's row, and its place.  (B, N) -> (B, N, d)"""
        x = self.embedding(tokens) * float(np.sqrt(self.config.d_model))
        return self.dropout(x + sinusoids(x.shape[1], x.shape[2]).astype(x.dtype))

    def shifted(self, target: Any) -> np.ndarray:
        """What the decoder reads to say the target: the start, then all but the last.  (B, M) -> (B, M)"""
        return np.pad(np.asarray(raw(target))[:, :-1], ((0, 0), (1, 0)), constant_values=self.config.start)

    def loss(self, source: Any, target: Any, label_smoothing: float = 0.1) -> Any:
        """Section 5.4: cross-entropy with smoothed labels, the mean over the target's tokens that are no padding.  In nats.

        source (B, N) and target (B, M), whose sentences close with `end`, filled up with `pad`. The wanted probability is
        1 - label_smoothing at the right token, and label_smoothing spread evenly over all V.
        """
        pad, source, target = self.config.pad, np.asarray(raw(source)), np.asarray(raw(target))
        logits = self(source, self.shifted(target), source != pad).flatten(0, 1)  # (B M, V)
        return F.cross_entropy(logits, target.reshape(-1), ignore_index=pad, label_smoothing=label_smoothing)

    @no_grad()
    def translate(self, source: Any, longest: int, beam: int = 4, alpha: float = 0.6) -> list[int]:
        """Section 6.1: a source (N) without padding -> its target's tokens, at most `longest`, `end` the last of them.

        beam 1 is greedy, and may come to no end. The encoder reads once, the decoder for every token the whole beginning.
        """
        memory = self.encode(np.asarray(raw(source))[None])  # (1, N, d)

        def log_p(starts: np.ndarray) -> np.ndarray:  # (K, T) -> (K, V)
            return F.log_softmax(self.decode(starts, memory.expand(len(starts), -1, -1))[:, -1], -1).numpy()

        return search(log_p, self.config.start, self.config.end, longest, beam, alpha)


@dataclass(frozen=True)
class TransformerConfig(Texts):
    """Table 3 and what a user may change.

    vocab_size: tokens of both languages; pad, start, end: the three special ones; length: tokens of the sentences whose
    multiply-adds are counted (there is no longest sentence); dropout: of embeddings and branches (table 3: 0.1, big 0.3).
    attention_bias, final_norm: biases in attention and a norm behind either stack, as torch.nn.Transformer has them.
    """

    longest: ClassVar[str] = "length"

    d_model: int
    nhead: int
    num_encoder_layers: int = 6
    num_decoder_layers: int = 6
    dim_feedforward: int = 2048
    vocab_size: int = 37000
    length: int = 256
    dropout: float = 0.0
    attention_bias: bool = False
    final_norm: bool = False
    pad: int = 0
    start: int = 1
    end: int = 2

    def __post_init__(self) -> None:
        if self.d_model % self.nhead or self.d_model % 2:
            raise ValueError(f"d_model {self.d_model} must be a multiple of nhead {self.nhead} and even")
        special = self.pad, self.start, self.end
        if len({*special}) < 3 or min(special) < 0 or max(special) >= self.vocab_size:
            raise ValueError(f"pad, start and end are three tokens below vocab_size {self.vocab_size}, got {special}")


@register("transformer_base", TransformerConfig(512, 8), params=63_045_632, macs=17_331_912_704)
@register("transformer_big", TransformerConfig(1024, 16, dim_feedforward=4096), params=214_171_648, macs=57_212_403_712)
@register("transformer_tiny", TransformerConfig(32, 4, 2, 2, 64, vocab_size=16, length=16))
def build(config: TransformerConfig) -> Transformer:
    """A Transformer of the given configuration."""
    return Transformer(config)
