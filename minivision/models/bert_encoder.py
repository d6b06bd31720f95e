"""BERT's encoder: what is pre-trained, and goes into every task (Devlin et al. 2019, arXiv 1810.04805, section 3)."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .. import functional as F
from .. import nn
from ..errors import ShapeError
from ..ops.elementwise import raw
from ._backbone import Texts


class Encoded(NamedTuple):
    """hidden (B, T, D), of each token; pooled (B, D), of the whole text, tanh(W x + b) of its first token, [CLS]."""

    hidden: Any
    pooled: Any


class Embeddings(nn.Module):
    """Figure 2: norm(token + position + segment)."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=1e-12)
        self.dropout = nn.Dropout(config.drop_rate)

    def forward(self, tokens: Any, segments: Any = None) -> Any:
        """(B, T), segments (B, T) or None for all 0 -> (B, T, D)"""
        segments = np.zeros((1, 1), np.int64) if segments is None else segments
        x = self.word_embeddings(tokens) + self.position_embeddings(np.arange(tokens.shape[1]))  # (B, T, D)
        return self.dropout(self.LayerNorm(x + self.token_type_embeddings(segments)))


class SelfAttention(nn.Module):
    """Multi-head attention without its last layer, in which every token sees every one that is no padding."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Any, mask: Any = None) -> Any:
        """(B, T, D), mask (B, 1, 1, T), True where a key may be seen -> (B, T, D). Of a text without such a key: 0."""
        q, k, v = (self.split(layer(x)) for layer in (self.query, self.key, self.value))  # 3 x (B, heads, T, D_h)
        return F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2)  # (B, T, D)

    def split(self, x: Any) -> Any:
        """(B, T, D) -> (B, heads, T, D_h)"""
        B, T, D = x.shape
        return x.reshape(B, T, self.heads, D // self.heads).transpose(1, 2)  # (B, heads, T, D_h)


class Output(nn.Module):
    """How a branch ends: y = norm(x + W branch + b), the norm behind the sum."""

    def __init__(self, inputs: int, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=1e-12)
        self.dropout = nn.Dropout(config.drop_rate)

    def forward(self, branch: Any, x: Any) -> Any:
        """(B, T, inputs), (B, T, D) -> (B, T, D)"""
        return self.LayerNorm(self.dropout(self.dense(branch)) + x)


class Layer(nn.Module):
    """Section 3, "Model Architecture", a block of Vaswani et al. 2017:  a = norm(x + attention(x)),  y = norm(a + mlp(a))"""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        D = config.hidden_size
        self.attention = nn.ModuleDict({"self": SelfAttention(config), "output": Output(D, config)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(D, config.intermediate_size)})
        self.output = Output(config.intermediate_size, config)

    def forward(self, x: Any, mask: Any = None) -> Any:
        """(B, T, D), mask (B, 1, 1, T) -> (B, T, D)"""
        a = self.attention["output"](self.attention["self"](x, mask), x)  # (B, T, D)
        wide = self.intermediate["dense"](a, activation="gelu")  # (B, T, 4 D)
        return self.output(wide, a)


class BertModel(nn.Module):
    """Section 3: what is pre-trained and goes into every task.  tokens (B, T) -> (hidden (B, T, D), pooled (B, D))"""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList([Layer(config) for _ in range(config.num_hidden_layers)])})
        self.pooler = nn.ModuleDict({"dense": nn.Linear(config.hidden_size, config.hidden_size)})
        self.apply(functools.partial(initialise, std=config.initializer_range))

    def forward(self, tokens: Any, segments: Any = None, seen: Any = None) -> Encoded:
        """tokens (B, T) below vocab_size; segments (B, T), 0 in the first sentence and 1 in the second, or None for all 0.

        seen (B, T): False or 0 at padding, which no token sees; None for texts without. What stands at padding means nothing,
        nor does a text of padding alone, whose attention is 0.
        """
        self._check(tokens, segments, seen)
        mask = None if seen is None else array(seen).astype(bool)[:, None, None]  # (B, 1, 1, T)
        x = self.embeddings(tokens, segments)  # (B, T, D)
        for layer in self.encoder["layer"]:
            x = layer(x, mask)
        return Encoded(x, F.tanh(self.pooler["dense"](x[:, 0])))

    def _check(self, tokens: Any, segments: Any, seen: Any) -> None:
        shape, longest = tuple(tokens.shape), self.config.max_position_embeddings
        if len(shape) != 2 or not 0 < shape[1] <= longest:
            problem = f"this model reads tokens (B, T), T from 1 to {longest}, got {shape}"
            hint = "shorten the text, or build the model for longer ones: create_model(..., max_position_embeddings=T)"
            raise ShapeError("bert", problem, f"tokens {shape}", hint)
        for name, given in (("segments", segments), ("seen", seen)):
            if given is not None and np.shape(array(given)) != shape:
                given = f"tokens {shape}, {name} {np.shape(array(given))}"
                raise ShapeError("bert", f"{name} should have one number for each token, {shape}", given)


def array(x: Any) -> np.ndarray:
    """A Tensor's or anybody's numbers."""
    return np.asarray(raw(x))


def initialise(module: nn.Module, std: float) -> None:
    """Tables and matrices begin as N(0, std^2), cut at two deviations, biases as 0: the authors' code."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.trunc_normal_(module.weight, std=std, a=-2.0 * std, b=2.0 * std)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


@dataclass(frozen=True)
class BertConfig(Texts):
    """Section 3's L, H and A are num_hidden_layers, hidden_size and num_attention_heads; and what a user may change.

    vocab_size: different tokens; max_position_embeddings: the longest text; type_vocab_size: segments; drop_rate: dropout of
    embeddings and branches, 0.1 in the paper; initializer_range: of the first weights, which narrow models learn slowly from.
    """

    longest: ClassVar[str] = "max_position_embeddings"

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    vocab_size: int = 30522
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    drop_rate: float = 0.0
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} must be a multiple of num_attention_heads {self.num_attention_heads}"
            )

    @property
    def intermediate_size(self) -> int:
        """Section 3: the feed-forward layer is four times as wide."""
        return 4 * self.hidden_size
