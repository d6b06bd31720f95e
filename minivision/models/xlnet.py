"""XLNet: Generalized Autoregressive Pretraining for Language Understanding.

Yang, Dai, Yang, Carbonell, Salakhutdinov, Le. NeurIPS 2019, arXiv 1906.08237.

A text is predicted token by token, but in a random order of its places, so that over many orders each token is told from what
stands on both its sides. A second stream of vectors, the queries, knows of a place where it is but not what stands there.

Names and keys are those of transformers' XLNetLMHeadModel, whose projections are (D, heads, D_h). Deviations: the logits' matrix
is the table of tokens itself, so `lm_loss.weight` is no entry of its own; `from_published` takes it out of a file. A query that
may see no token gets zeros from attention and knows nothing, not even its place; there, adding -1e30 to all scores makes them
equal, and the query sees every token, its own too. Distances are turned into sines in float64. No dropout unless asked for, and
none within attention.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import functional as F
from .. import nn
from ..errors import CheckpointError, ShapeError
from ..tensors.creation import tensor
from ._backbone import Texts
from ._registry import register
from .permutation import Drawn, View, as_places, views
from .xlnet_attention import NORMAL, RelativeAttention, add_norm, distances


class Memory:
    """Section 2.4: what every layer read, of up to `room` earlier tokens; no gradient flows there.

    reuse: how many of the first tokens of each text are remembered (None: all), where the next text begins behind those.
    """

    def __init__(self, layers: int, room: int, reuse: int | None = None) -> None:
        self.room, self.reuse = room, reuse
        self.layers: list[np.ndarray | None] = [None] * layers

    @property
    def length(self) -> int:
        """How many tokens there are."""
        return 0 if self.layers[0] is None else self.layers[0].shape[1]

    @property
    def batch(self) -> int:
        """Of how many texts; 0 before the first."""
        return 0 if self.layers[0] is None else len(self.layers[0])

    def replaced(self, layer: int, h: Any) -> np.ndarray | None:
        """What a layer remembers (B, N, D); behind it now h (B, T, D), for the next time."""
        before = self.layers[layer]
        both = [*([] if before is None else [before]), h.data[:, : self.reuse]]
        self.layers[layer] = np.concatenate(both, 1)[:, -self.room :] if self.room else None
        return before


class FeedForward(nn.Module):
    """norm(x + W2 gelu(W1 x)), place by place."""

    def __init__(self, config: XLNetConfig) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(config.d_model, config.layer_norm_eps)
        self.layer_1 = nn.Linear(config.d_model, config.d_inner)
        self.layer_2 = nn.Linear(config.d_inner, config.d_model)
        self.drop = nn.Dropout(config.drop_rate)
        for layer in (self.layer_1, self.layer_2):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Any) -> Any:
        """(B, T, D) -> the same"""
        y = self.drop(self.layer_1(x, activation="gelu"))  # (B, T, d_inner)
        return add_norm(self.drop(self.layer_2(y)), x, self.layer_norm)


class Layer(nn.Module):
    """Both streams through attention and the feed-forward layer."""

    def __init__(self, config: XLNetConfig) -> None:
        super().__init__()
        self.rel_attn = RelativeAttention(config.d_model, config.n_head, config.layer_norm_eps, config.drop_rate)
        self.ff = FeedForward(config)

    def forward(self, h: Any, g: Any, r: Any, content: View, query: View, before: Any = None) -> tuple[Any, Any]:
        """h (B, T, D) and g (B, M, D) or None -> the same"""
        h, g = self.rel_attn(h, g, r, content, query, before)
        return self.ff(h), None if g is None else self.ff(g)


class Transformer(nn.Module):
    """Tokens (B, T) -> the content stream h (B, T, D), and the query stream g (B, M, D) of places (B, M), or None."""

    def __init__(self, config: XLNetConfig) -> None:
        super().__init__()
        self.mask_emb = nn.Parameter((1, 1, config.d_model), NORMAL)
        self.word_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.layer = nn.ModuleList([Layer(config) for _ in range(config.n_layer)])
        self.drop = nn.Dropout(config.drop_rate)
        nn.init.normal_(self.word_embedding.weight, std=0.02)

    def forward(
        self, tokens: Any, perm_mask: Any, places: Any, segments: Any, memory: Memory | None, attention_mask: Any
    ) -> tuple[Any, Any]:
        """As XLNet.forward, with places (B, M) or None for target_mapping -> h (B, T, D), g (B, M, D) or None"""
        h = self.drop(self.word_embedding(tokens))  # (B, T, D)
        (B, T, D), N = h.shape, memory.length if memory else 0  # K = N + T
        g = None if places is None else self.drop(np.broadcast_to(self.mask_emb, (B, places.shape[1], D)))  # (B, M, D)
        r = self.drop(tensor(distances(T, N + T, D).astype(h.dtype)))  # (K + T, D)
        content, query = views(T, N, perm_mask, places, segments, attention_mask, h.dtype)
        for i, layer in enumerate(self.layer):
            h, g = layer(h, g, r, content, query, memory.replaced(i, h) if memory else None)
        return h, g


class Output(nn.Module):
    """Eq. 4: logits by the table of tokens, and a bias of their own."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.bias = nn.Parameter((tokens,))

    def forward(self, x: Any, table: Any) -> Any:
        """(B, M, D) by (V, D) -> (B, M, V)"""
        return F.linear(x, table, self.bias)


class XLNet(nn.Module):
    """Tokens (B, T) -> logits of all places by the content stream, or of some by the query stream."""

    def __init__(self, config: XLNetConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = Transformer(config)
        self.lm_loss = Output(config.vocab_size)

    def forward(
        self,
        tokens: Any,
        perm_mask: Any = None,
        target_mapping: Any = None,
        segments: Any = None,
        memory: Memory | None = None,
        attention_mask: Any = None,
    ) -> Any:
        """(B, T) of whole numbers below vocab_size -> (B, T, V), or with target_mapping (B, M, V).

        perm_mask (B, T, T): 1 where place i may not see place j (permutation.orders, draw_orders); the content stream sees its
        own token nevertheless. target_mapping: the places (B, M) to predict, or 1 at each of them in (B, M, T); it needs a
        perm_mask, without which a query would see the token that it predicts. segments (B, T): numbers of which it only matters
        whether they are equal. memory: of texts before this one, which is remembered, too. attention_mask (B, T): 0 for padding.
        """
        if len(tokens.shape) != 2:
            raise ShapeError("xlnet", "this model reads tokens (B, T)", f"tokens {tuple(tokens.shape)}")
        B, T = tokens.shape
        if memory is not None and memory.batch not in (0, B):
            raise ShapeError(
                "xlnet", f"the memory is of {memory.batch} texts", f"tokens {(B, T)}", "begin with model.memory(room)"
            )
        given = {"perm_mask": (perm_mask, (B, T, T)), "segments": (segments, (B, T)), "attention_mask": (attention_mask, (B, T))}
        for name, (value, shape) in given.items():
            if value is not None and np.shape(value) != shape:
                raise ShapeError("xlnet", f"{name} should be {shape}, got {np.shape(value)}", f"tokens {(B, T)}")
        places = None if target_mapping is None else as_places(target_mapping, B, T)  # (B, M)
        if places is not None and perm_mask is None:
            raise ValueError("target_mapping without perm_mask: each query would see the token that it is to predict")
        h, g = self.transformer(tokens, perm_mask, places, segments, memory, attention_mask)
        return self.lm_loss(h if g is None else g, self.transformer.word_embedding.weight)

    def memory(self, room: int, reuse: int | None = None) -> Memory:
        """An empty memory for up to `room` tokens, the first `reuse` (None: all) of each text."""
        return Memory(self.config.n_layer, room, reuse)

    def loss(
        self, tokens: Any, drawn: Drawn, segments: Any = None, memory: Memory | None = None, attention_mask: Any = None
    ) -> Any:
        """Eq. 5: the mean of -log p(x_(z_t) | x_(z_<t)) over the targets.  (B, T) and what draw_orders drew -> nats"""
        logits = self(tokens, drawn.perm_mask, drawn.target_mapping, segments, memory, attention_mask)  # (B, M, V)
        wanted = np.take_along_axis(np.asarray(tokens), drawn.target_mapping, 1)  # (B, M)
        return F.cross_entropy(logits.reshape(-1, self.config.vocab_size), wanted.reshape(-1))

    def from_published(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """The logits' matrix left out, which has to be the table of tokens."""
        found = dict(arrays)
        head, table = found.pop("lm_loss.weight", None), found.get("transformer.word_embedding.weight")
        if head is not None and table is not None and not np.array_equal(head, table):
            raise CheckpointError("lm_loss.weight is not transformer.word_embedding.weight: this model has one for both")
        return found


@dataclass(frozen=True)
class XLNetConfig(Texts):
    """Appendix A.4 and what a user may change.

    d_inner: width of the feed-forward layer; seq_len: tokens of a text in pre-training, though a text may have any number of
    them; vocab_size: different tokens; drop_rate: dropout of embeddings and branches.
    """

    longest: ClassVar[str] = "seq_len"

    d_model: int
    n_layer: int
    n_head: int
    d_inner: int
    seq_len: int = 512
    vocab_size: int = 32000
    layer_norm_eps: float = 1e-12
    drop_rate: float = 0.0

    def __post_init__(self) -> None:
        if self.d_model % self.n_head or self.d_model % 2:
            raise ValueError(f"d_model {self.d_model} must be even and a multiple of n_head {self.n_head}")


@register("xlnet_base_cased", XLNetConfig(768, 12, 12, 3072), params=116_750_336, macs=72_980_889_600)
@register("xlnet_large_cased", XLNetConfig(1024, 24, 16, 4096), params=360_300_800, macs=222_935_646_208)
@register("xlnet_tiny", XLNetConfig(64, 4, 4, 256, seq_len=128, vocab_size=512))
def build(config: XLNetConfig) -> XLNet:
    """An XLNet of the given configuration."""
    return XLNet(config)
