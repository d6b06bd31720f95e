"""Music Transformer: Generating Music with Long-Term Structure.

Huang, Vaswani, Uszkoreit, Shazeer, Simon, Hawthorne, Dai, Hoffman, Dinculescu, Eck. ICLR 2019, arXiv 1809.04281.

Motifs come back at distances, so attention is told how far back a key is: each distance has a learned vector, with which queries
are multiplied. Skewing the L x L products of queries and distances puts them at their keys; before, that took an L x L x D array.

Names echo tensor2tensor's, where the authors' attention is (dot_product_self_attention_relative_v2); no weights are published for
PyTorch. As there, norms stand before the branches, attention has no biases, the events' vectors are the logits' matrix too, and
places are told by distance alone. Deviations: beyond the largest distance the farthest vector counts, where that code has zeros
(`clip=False`); relative vectors for keys alone. music_transformer has that code's base widths. The events: minivision.text.midi.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import functional as F
from .. import nn
from ..errors import ShapeError
from ..ops.elementwise import raw
from ..text.midi import EVENTS
from ._backbone import Texts
from ._registry import register


class Memory:
    """Keys and values of the `length` events that were read, without gradient, so that the next one is read alone.

    layers: for each two arrays (B, heads, length, D_h).
    """

    def __init__(self, config: MusicTransformerConfig, batch: int, dtype: Any) -> None:
        empty = np.empty((batch, config.num_heads, 0, config.hidden_size // config.num_heads), dtype)
        self.batch, self.length, self.layers = batch, 0, [(empty, empty)] * config.num_hidden_layers

    def extended(self, layer: int, k: Any, v: Any) -> tuple[np.ndarray, np.ndarray]:
        """Puts keys and values (B, heads, L, D_h) behind those that a layer has, and gives them all."""
        keys, values = self.layers[layer]
        self.layers[layer] = np.concatenate([keys, k.data], axis=2), np.concatenate([values, v.data], axis=2)
        return self.layers[layer]


def skew(x: Any) -> Any:
    """The memory-efficient way: x (*, L, N), column c of distance N - 1 - c -> the same shape, where column j is of the j-th key.

    y[i, j] = x[i, j + L - 1 - i], in three steps: a column before x, rows of length L, without the first. Where j lies in i's
    future, y has numbers of other rows, to be masked.
    """
    *leading, L, N = x.shape
    padded = F.pad(x, (1, 0))  # (*, L, N + 1)
    return padded.reshape(*leading, N + 1, L)[..., 1:, :].reshape(*leading, L, N)


class SelfAttention(nn.Module):
    """Relative attention:  softmax((Q K^T + S) / sqrt(D_h)) V,  S = skew(Q E^T),  S_ij = q_i e_(i-j)

    E, key_relative_embeddings, from the farthest distance to 0: (heads, max_relative_position, D_h), or without heads where all
    share it.
    """

    def __init__(self, config: MusicTransformerConfig) -> None:
        super().__init__()
        D, self.heads, self.clip = config.hidden_size, config.num_heads, config.clip
        self.q, self.k, self.v, self.output_transform = (nn.Linear(D, D, bias=False) for _ in range(4))
        heads = () if config.heads_share_relative_embedding else (self.heads,)
        shape = *heads, config.max_relative_position, D // self.heads
        self.key_relative_embeddings = nn.Parameter(shape, nn.init.normal(std=float(shape[-1] ** -0.5)))

    def relative_embeddings(self, length: int) -> Any:
        """The vectors of the distances length - 1, ..., 1, 0: (*, length, D_h)

        The last rows of the table; what is farther than its first row has that row again, or zeros where not self.clip.
        """
        rows = np.arange(-length, 0) + self.key_relative_embeddings.shape[-2]  # below 0: farther than the farthest
        found = self.key_relative_embeddings[..., np.maximum(rows, 0), :]
        return found if self.clip else found * (rows >= 0)[:, None].astype(found.dtype)

    def relative_logits(self, q: Any, keys: int) -> Any:
        """S: q (B, heads, L, D_h), of the last L of so many keys -> (B, heads, L, keys)

        S_ij is q_i times the vector of the distance from query i back to key j; where j lies in i's future it may be anything.
        """
        return skew(q @ np.swapaxes(self.relative_embeddings(keys), -1, -2))

    def forward(self, x: Any, memory: Memory | None = None, layer: int = 0) -> Any:
        """(B, L, D) -> the same; with a memory the events come behind those that are in it"""
        B, L, D = x.shape
        each = (f(x).reshape(B, L, self.heads, D // self.heads) for f in (self.q, self.k, self.v))  # 3 x (B, L, heads, D_h)
        q, k, v = (x.transpose(1, 2) for x in each)  # 3 x (B, heads, L, D_h)
        k, v = (k, v) if memory is None else memory.extended(layer, k, v)  # (B, heads, N, D_h)
        N, scale = k.shape[2], (D // self.heads) ** -0.5
        s = self.relative_logits(q, N) * scale  # (B, heads, L, N)
        s = np.where(np.tri(L, N, N - L, bool), s, np.asarray(-np.inf, s.dtype))
        y = F.scaled_dot_product_attention(q, k, v, s)  # (B, heads, L, D_h)
        return self.output_transform(y.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """a = x + attention(norm(x)),  y = a + conv2(relu(conv1(norm(a)))), the convolutions of one event each"""

    def __init__(self, config: MusicTransformerConfig) -> None:
        super().__init__()
        D = config.hidden_size
        self.norm_1, self.self_attention = nn.LayerNorm(D, eps=1e-6), SelfAttention(config)
        self.norm_2 = nn.LayerNorm(D, eps=1e-6)
        self.conv1, self.conv2 = nn.Linear(D, config.filter_size), nn.Linear(config.filter_size, D)
        self.drop = nn.Dropout(config.drop_rate)

    def forward(self, x: Any, memory: Memory | None = None, layer: int = 0) -> Any:
        """(B, L, D) -> the same"""
        x = x + self.drop(self.self_attention(self.norm_1(x), memory, layer))
        return x + self.drop(self.conv2(self.conv1(self.norm_2(x), activation="relu")))


class MusicTransformer(nn.Module):
    """Events (B, L) -> logits (B, L, vocab_size); those at t are of event t + 1."""

    def __init__(self, config: MusicTransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        nn.init.normal_(self.embedding.weight, std=float(config.hidden_size**-0.5))
        self.drop = nn.Dropout(config.drop_rate)
        self.layers = nn.ModuleList([Layer(config) for _ in range(config.num_hidden_layers)])
        self.norm = nn.LayerNorm(config.hidden_size, eps=1e-6)

    def forward(self, tokens: Any, memory: Memory | None = None, last: bool = False) -> Any:
        """(B, L) of whole numbers below vocab_size -> (B, L, vocab_size), L any; last: of the last event, (B, 1, vocab_size)"""
        if len(tokens.shape) != 2 or (memory is not None and memory.batch != tokens.shape[0]):
            given = f"tokens {tuple(tokens.shape)}" + (f", memory of {memory.batch} pieces" if memory is not None else "")
            problem = f"this model reads events (B, L), and a memory of as many pieces, got {given}"
            raise ShapeError("music_transformer", problem, given, "one piece is tokens[None]; make a memory with model.memory(B)")
        x = self.drop(self.embedding(tokens) * self.config.hidden_size**0.5)  # (B, L, D)
        for i, layer in enumerate(self.layers):
            x = layer(x, memory, i)
        if memory is not None:
            memory.length += tokens.shape[1]
        return F.linear(self.norm(x[:, -1:] if last else x), self.embedding.weight)

    def memory(self, batch: int = 1) -> Memory:
        """An empty memory for so many pieces."""
        return Memory(self.config, batch, self.embedding.weight.dtype)

    def loss(self, tokens: Any) -> Any:
        """The mean of -log p(event | those before it) over the events behind the first.  (B, L) -> nats"""
        numbers = np.asarray(raw(tokens))
        logits = self(numbers[:, :-1])  # (B, L - 1, vocab_size)
        return F.cross_entropy(logits.reshape(-1, self.config.vocab_size), numbers[:, 1:].reshape(-1))


@dataclass(frozen=True)
class MusicTransformerConfig(Texts):
    """tensor2tensor's names for what a user may change.

    max_relative_position: distances that have a vector, 0 among them; clip: what is farther has the farthest one's, else none;
    n_positions: events of a piece in training; vocab_size: different events.
    """

    writes: ClassVar[bool] = True

    hidden_size: int
    num_hidden_layers: int
    num_heads: int
    filter_size: int
    max_relative_position: int
    heads_share_relative_embedding: bool = False
    clip: bool = True
    n_positions: int = 2048
    vocab_size: int = EVENTS
    drop_rate: float = 0.0

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size {self.hidden_size} must be a multiple of num_heads {self.num_heads}")
        if self.max_relative_position < 1:
            raise ValueError(f"max_relative_position counts distance 0: it must be 1 or more, got {self.max_relative_position}")


@register("music_transformer", MusicTransformerConfig(512, 6, 8, 2048, 1024))
@register("music_transformer_tiny", MusicTransformerConfig(64, 3, 4, 128, 128, n_positions=128))
def build(config: MusicTransformerConfig) -> MusicTransformer:
    """A Music Transformer of the given configuration."""
    return MusicTransformer(config)
