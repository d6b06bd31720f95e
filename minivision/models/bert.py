"""BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding.

Devlin, Chang, Lee, Toutanova. NAACL 2019, arXiv 1810.04805.

Every token sees those before it and those behind it. What is there to learn, then? Some tokens are hidden, and the network says
which they were; and of two sentences, whether the second follows the first. Small heads on top learn a task from there.

Names and keys are those of transformers' BertForPreTraining. Deviations: the logits' matrix and its bias are no entries of their
own, `cls.predictions.decoder`, but the table of tokens and `cls.predictions.bias`; `from_published` takes them out of a file. The
row of [PAD] is learnt like others, as in the authors' code; a token drawn in place of another is never a special one. No dropout
unless asked for, and none of attention's weights.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .. import functional as F
from .. import nn
from ..errors import CheckpointError, ShapeError
from ..tape import Tensor
from ._backbone import Texts
from ._registry import register

IGNORED = -100  # the label of a token that nothing is asked about


class Encoded(NamedTuple):
    """hidden (B, T, D), of each token; pooled (B, D), of the whole text, tanh(W x + b) of its first token, [CLS]."""

    hidden: Any
    pooled: Any


class Pretraining(NamedTuple):
    """Logits: mlm (B, T, V), which token stands there; nsp (B, 2): 0, the second sentence follows the first, or 1, not."""

    mlm: Any
    nsp: Any


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
        self.apply(functools.partial(_initialise, std=config.initializer_range))

    def forward(self, tokens: Any, segments: Any = None, seen: Any = None) -> Encoded:
        """tokens (B, T) below vocab_size; segments (B, T), 0 in the first sentence and 1 in the second, or None for all 0.

        seen (B, T): False or 0 at padding, which no token sees; None for texts without. What stands at padding means nothing,
        nor does a text of padding alone, whose attention is 0.
        """
        self._check(tokens, segments, seen)
        mask = None if seen is None else _array(seen).astype(bool)[:, None, None]  # (B, 1, 1, T)
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
            if given is not None and np.shape(_array(given)) != shape:
                given = f"tokens {shape}, {name} {np.shape(_array(given))}"
                raise ShapeError("bert", f"{name} should have one number for each token, {shape}", given)


class TokenHead(nn.Module):
    """Section 3.1, task 1: which token stands here.  logits = table norm(gelu(W x + b)) + bias

    W and the norm stand in the authors' code, not in the paper.
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        D = config.hidden_size
        self.bias = nn.Parameter((config.vocab_size,))
        self.transform = nn.ModuleDict({"dense": nn.Linear(D, D), "LayerNorm": nn.LayerNorm(D, eps=1e-12)})

    def forward(self, x: Any, table: Any) -> Any:
        """(*, D), the table of tokens (V, D) -> logits (*, V)"""
        x = self.transform["LayerNorm"](self.transform["dense"](x, activation="gelu"))  # (*, D)
        return F.linear(x, table, self.bias)


class BertForPreTraining(nn.Module):
    """Section 3.1: tokens (B, T) -> logits of its two tasks, (mlm (B, T, V), nsp (B, 2))."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.bert = BertModel(config)
        self.cls = nn.ModuleDict({"predictions": TokenHead(config), "seq_relationship": nn.Linear(config.hidden_size, 2)})
        self.cls.apply(functools.partial(_initialise, std=config.initializer_range))

    def forward(self, tokens: Any, segments: Any = None, seen: Any = None) -> Pretraining:
        """As BertModel takes them; the logits of every token, (B, T, V), and of the pair, (B, 2)"""
        hidden, pooled = self.bert(tokens, segments, seen)  # (B, T, D), (B, D)
        return Pretraining(self.cls["predictions"](hidden, self.table), self.cls["seq_relationship"](pooled))

    @property
    def table(self) -> Any:
        """(V, D): a row for each token, which reads it and says it."""
        return self.bert.embeddings.word_embeddings.weight

    def loss(self, tokens: Any, labels: Any, segments: Any = None, seen: Any = None, unrelated: Any = None) -> Any:
        """Appendix A.2: the mean over the tokens asked for, and, where `unrelated` (B) is given, that of the pairs added.

        tokens and labels (B, T) are what mask_tokens gives. Logits are made for the tokens asked for alone: of seven, one.
        """
        hidden, pooled = self.bert(tokens, segments, seen)  # (B, T, D), (B, D)
        labels = _array(labels).reshape(-1)  # (B T)
        asked = np.flatnonzero(labels != IGNORED)  # (K)
        logits = self.cls["predictions"](hidden.flatten(0, 1)[asked], self.table)  # (K, V)
        loss = masked_lm_loss(logits, labels[asked])
        if unrelated is None:
            return loss
        return loss + next_sentence_loss(self.cls["seq_relationship"](pooled), unrelated)

    def from_published(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """With the prefix; gamma and beta as weight and bias; without positions' numbers and the logits' own matrix and bias.

        CheckpointError where those two are not the table of tokens and cls.predictions.bias.
        """
        found = {}
        for key, value in arrays.items():
            key = key.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
            found[key if key.startswith(("bert.", "cls.")) else f"bert.{key}"] = value
        found.pop("bert.embeddings.position_ids", None)
        for part, own in (("weight", "bert.embeddings.word_embeddings.weight"), ("bias", "cls.predictions.bias")):
            value = found.pop(f"cls.predictions.decoder.{part}", None)
            if value is not None and not np.array_equal(found.setdefault(own, value), value):
                raise CheckpointError(f"cls.predictions.decoder.{part} is not {own}: this model has one for both")
        return found


def masked_lm_loss(logits: Any, labels: Any) -> Any:
    """Section 3.1, task 1: the mean of -log p(label) over the tokens whose label is not IGNORED.

    logits (*, V), labels (*) -> nats; ValueError where there is no such token.
    """
    labels = _array(labels).reshape(-1)
    if (labels == IGNORED).all():
        raise ValueError("no token has a label, so there is no mean over them; mask_tokens chooses one or more in every text")
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels, ignore_index=IGNORED)


def next_sentence_loss(logits: Any, unrelated: Any) -> Any:
    """Section 3.1, task 2: the mean of -log p.  logits (B, 2), unrelated (B): 0, the second follows the first; 1, it does not."""
    return F.cross_entropy(logits, _array(unrelated).astype(np.int64))


def mask_tokens(
    tokens: Any, rng: np.random.Generator, mask: int, vocab_size: int, special: Iterable[int] = (), share: float = 0.15
) -> tuple[np.ndarray, np.ndarray]:
    """Section 3.1, task 1: tokens (B, T) -> (what the network reads, labels), both (B, T).

    In each text the `share` of its ordinary tokens is chosen: as many as that is when rounded, but at least one. Of the chosen,
    80 % are read as `mask`, 10 % as an ordinary token drawn at random, 10 % as they are. The labels are the chosen tokens, and
    IGNORED elsewhere. `special` are [CLS], [SEP], [PAD] and the like: they, and the mask, are neither chosen nor drawn.
    """
    if not 0.0 < share <= 1.0:
        raise ValueError(f"share is how much of a text is chosen, above 0 and at most 1, got {share}")
    tokens, special = _array(tokens), [*special, mask]
    ordinary = ~np.isin(tokens, special)  # (B, T)
    n = ordinary.sum(1, keepdims=True)  # (B, 1)
    lots = np.where(ordinary, rng.random(tokens.shape), 2.0)  # (B, T); the smallest are chosen
    chosen = lots.argsort(1).argsort(1) < np.minimum(n, np.maximum(1, np.rint(share * n)))  # (B, T)
    drawn = rng.choice(np.setdiff1d(np.arange(vocab_size), special), tokens.shape)  # (B, T)
    fate = rng.random(tokens.shape)  # (B, T)
    read = np.where(fate < 0.8, mask, np.where(fate < 0.9, drawn, tokens))  # (B, T)
    return np.where(chosen, read, tokens), np.where(chosen, tokens, IGNORED)


def _array(x: Any) -> np.ndarray:
    """A Tensor's or anybody's numbers."""
    return np.asarray(x.data if isinstance(x, Tensor) else x)


def _initialise(module: nn.Module, std: float) -> None:
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


# Parameters with the heads of pre-training; without them, create_model(...).bert has 109,482,240 (base) and 335,141,888 (large).
@register("bert_base_uncased", BertConfig(768, 12, 12), params=110_106_428, macs=60_622_702_080)
@register("bert_large_uncased", BertConfig(1024, 24, 16), params=336_226_108, macs=184_043_964_416)
@register("bert_base_cased", BertConfig(768, 12, 12, vocab_size=28996), params=108_932_934, macs=60_022_654_464)
@register("bert_large_cased", BertConfig(1024, 24, 16, vocab_size=28996), params=334_661_958, macs=183_243_900_928)
@register("bert_tiny", BertConfig(64, 2, 4, vocab_size=512, max_position_embeddings=128, initializer_range=0.1))
def build(config: BertConfig) -> BertForPreTraining:
    """A BERT of the given configuration with the heads of its pre-training."""
    return BertForPreTraining(config)
