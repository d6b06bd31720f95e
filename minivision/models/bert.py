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
from typing import Any, NamedTuple

import numpy as np

from .. import functional as F
from .. import nn
from ..errors import CheckpointError
from ._registry import register
from .bert_encoder import BertConfig, BertModel, array, initialise

IGNORED = -100  # the label of a token that nothing is asked about


class Pretraining(NamedTuple):
    """Logits: mlm (B, T, V), which token stands there; nsp (B, 2): 0, the second sentence follows the first, or 1, not."""

    mlm: Any
    nsp: Any


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
        self.cls.apply(functools.partial(initialise, std=config.initializer_range))

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
        labels = array(labels).reshape(-1)  # (B T)
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
    labels = array(labels).reshape(-1)
    if (labels == IGNORED).all():
        raise ValueError("no token has a label, so there is no mean over them; mask_tokens chooses one or more in every text")
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels, ignore_index=IGNORED)


def next_sentence_loss(logits: Any, unrelated: Any) -> Any:
    """Section 3.1, task 2: the mean of -log p.  logits (B, 2), unrelated (B): 0, the second follows the first; 1, it does not."""
    return F.cross_entropy(logits, array(unrelated).astype(np.int64))


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
    tokens, special = array(tokens), [*special, mask]
    ordinary = ~np.isin(tokens, special)  # (B, T)
    n = ordinary.sum(1, keepdims=True)  # (B, 1)
    lots = np.where(ordinary, rng.random(tokens.shape), 2.0)  # (B, T); the smallest are chosen
    chosen = lots.argsort(1).argsort(1) < np.minimum(n, np.maximum(1, np.rint(share * n)))  # (B, T)
    drawn = rng.choice(np.setdiff1d(np.arange(vocab_size), special), tokens.shape)  # (B, T)
    fate = rng.random(tokens.shape)  # (B, T)
    read = np.where(fate < 0.8, mask, np.where(fate < 0.9, drawn, tokens))  # (B, T)
    return np.where(chosen, read, tokens), np.where(chosen, tokens, IGNORED)


# Parameters with the heads of pre-training; without them, create_model(...).bert has 109,482,240 (base) and 335,141,888 (large).
@register("bert_base_uncased", BertConfig(768, 12, 12), params=110_106_428, macs=60_622_702_080)
@register("bert_large_uncased", BertConfig(1024, 24, 16), params=336_226_108, macs=184_043_964_416)
@register("bert_base_cased", BertConfig(768, 12, 12, vocab_size=28996), params=108_932_934, macs=60_022_654_464)
@register("bert_large_cased", BertConfig(1024, 24, 16, vocab_size=28996), params=334_661_958, macs=183_243_900_928)
@register("bert_tiny", BertConfig(64, 2, 4, vocab_size=512, max_position_embeddings=128, initializer_range=0.1))
def build(config: BertConfig) -> BertForPreTraining:
    """A BERT of the given configuration with the heads of its pre-training."""
    return BertForPreTraining(config)
