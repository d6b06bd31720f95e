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

import functools
import math
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

NORMAL = nn.init.normal(std=0.02)


@functools.lru_cache(maxsize=8)
def distances(queries: int, keys: int, width: int) -> np.ndarray:
    """Sines, then cosines, of the distances from `keys` down to 1 - `queries`: those ahead of a query too.  (K + T, width)

    sin(n / 10000^(2 i / width)); of what is before a query the distance is positive.
    """
    n = np.arange(keys, -queries, -1.0)[:, None]  # (K + T, 1)
    angles = n / 10000.0 ** (np.arange(0, width, 2) / width)  # (K + T, width / 2)
    return np.concatenate([np.sin(angles), np.cos(angles)], -1)


def by_key(scores: Any, keys: int, places: Any = None) -> Any:
    """Scores of distances K, K - 1, ..., 1 - T -> of keys 0 ... K - 1.  (B, heads, T, K + T) -> (B, heads, T, K)

    Row i is of place i, which is the key number K - T + i: what it has for key j stands in column T - i + j. Numbered along
    memory, that is i (K + T - 1) + j, T further on: no number is moved, the rows are cut elsewhere. With places (B, M) there
    are rows of these alone, and they are gathered: (B, heads, M, K + T) -> (B, heads, M, K).
    """
    *batch, rows, wide = scores.shape
    T = wide - keys
    if places is not None:
        columns = T - places[:, None, :, None] + np.arange(keys)  # (B, 1, M, K)
        return np.take_along_axis(scores, np.broadcast_to(columns, (*batch, rows, keys)), -1)  # (B, heads, M, K)
    flat = scores.reshape(*batch, rows * wide)[..., T:]  # (B, heads, T (K + T - 1))
    return flat.reshape(*batch, rows, wide - 1)[..., :keys]  # (B, heads, T, K)


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


class RelativeAttention(nn.Module):
    """Sections 2.3 to 2.5: attention by content, by distance and by whether the segment is the same; then the norm.

    softmax(((q + u) k_j + (q + v) r_(i - j) + (q + w) s_ij) / sqrt(D_h)) v, where u, v, w are r_w_bias, r_r_bias, r_s_bias.
    """

    def __init__(self, config: XLNetConfig) -> None:
        super().__init__()
        D, heads, D_h = config.d_model, config.n_head, config.d_model // config.n_head
        self.q, self.k, self.v, self.o, self.r = (nn.Parameter((D, heads, D_h), NORMAL) for _ in range(5))
        self.r_r_bias, self.r_s_bias, self.r_w_bias = (nn.Parameter((heads, D_h), NORMAL) for _ in range(3))
        self.seg_embed = nn.Parameter((2, heads, D_h), NORMAL)
        self.layer_norm = nn.LayerNorm(D, config.layer_norm_eps)
        self.drop = nn.Dropout(config.drop_rate)
        self.heads, self.scale = heads, 1.0 / math.sqrt(D_h)

    def forward(self, h: Any, g: Any, r: Any, content: View, query: View, before: Any = None) -> tuple[Any, Any]:
        """Keys and values are the content's for both streams, and so are all weights.

        h (B, T, D) and g (B, M, D) or None -> the same; r (K + T, D): distances; before (B, K - T, D): remembered, or None
        """
        known = h if before is None else np.concatenate([before, h], 1)  # (B, K, D)
        k, v, r = self.project(known, self.k), self.project(known, self.v), self.project(r[None], self.r)
        return self.attend(h, k, v, r, content), None if g is None else self.attend(g, k, v, r, query)

    def project(self, x: Any, weight: Any) -> Any:
        """x (B, N, D) by (D, heads, D_h) -> (B, heads, N, D_h)"""
        y = F.linear(x, np.swapaxes(weight.reshape(x.shape[-1], -1), 0, 1))  # (B, N, D)
        return y.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)  # (B, heads, N, D_h)

    def attend(self, x: Any, k: Any, v: Any, r: Any, view: View) -> Any:
        """norm(x + attention);  x (B, M, D), k and v (B, heads, K, D_h), r (1, heads, K + T, D_h) -> (B, M, D)"""
        q = self.project(x, self.q)  # (B, heads, M, D_h)
        bias = self.bias(q, r, k.shape[2], view)  # (B, heads, M, K)
        y = F.scaled_dot_product_attention(q + self.r_w_bias[:, None], k, v, bias, scale=self.scale)  # (B, heads, M, D_h)
        y = F.linear(y.transpose(1, 2).flatten(2), self.o.reshape(x.shape[-1], -1))  # (B, M, D)
        return add_norm(self.drop(y), x, self.layer_norm)

    def bias(self, q: Any, r: Any, keys: int, view: View) -> Any:
        """What is added to the content's scores: by distance and segment, and what is hidden.  -> (B, heads, M, K)"""
        placed = (q + self.r_r_bias[:, None]) * self.scale  # (B, heads, M, D_h)
        bias = by_key(placed @ r.transpose(2, 3), keys, view.places)  # (B, heads, M, K)
        if view.differs is not None:  # s_ij is s_0 or s_1; (q + w) s_0 is the same for all keys, so softmax does not see it
            other = (self.seg_embed[1] - self.seg_embed[0])[:, :, None]  # (heads, D_h, 1)
            bias = bias + ((q + self.r_s_bias[:, None]) * self.scale) @ other * view.differs
        return bias if view.hidden is None else bias + view.hidden


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


def add_norm(y: Any, x: Any, norm: nn.LayerNorm) -> Any:
    """norm(y + x) in one pass over memory."""
    return F.add_layer_norm(y, x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)[1]


class Layer(nn.Module):
    """Both streams through attention and the feed-forward layer."""

    def __init__(self, config: XLNetConfig) -> None:
        super().__init__()
        self.rel_attn = RelativeAttention(config)
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
