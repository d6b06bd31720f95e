"""Transformer-XL: Attentive Language Models Beyond a Fixed-Length Context.

Dai, Yang, Yang, Carbonell, Le, Salakhutdinov. ACL 2019, arXiv 1901.02860.

A text is read segment by segment, and every layer also sees what it read of the segments before, kept without gradient: so N
layers see N times further than one. For that, places are told by distance, not by number, in four terms of attention's score.

Names and keys are those of the authors' PyTorch code, MemTransformerLM, but for its sines (`from_published` leaves them out).
Deviations: norms begin at 1; u and v are shared by all layers and norms stand behind the sum, as in the scripts for PyTorch; no
extended context beside the memory. Texts of a batch are streams without padding, and there is no mask for it. The authors' large
configuration, counted, has more parameters than the 257M that the paper prints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import functional as F
from .. import nn
from ..errors import CheckpointError, ShapeError
from ..ops.elementwise import raw
from ..tape import Tensor
from ._backbone import Texts
from ._registry import register
from .adaptive_softmax import AdaptiveEmbedding, AdaptiveSoftmax, Clusters


class Memory:
    """Section 3.2: what each layer read of the last mem_len tokens, without gradient. hidden: an array (B, M, D) for each layer.

    A model that is given it puts the tokens it reads behind those that are there, and takes the oldest away.
    """

    def __init__(self, config: TransformerXLConfig, batch: int, dtype: Any) -> None:
        self.batch, self.room = batch, config.mem_len
        self.hidden = [np.empty((batch, 0, config.d_model), dtype) for _ in range(config.n_layer)]

    @property
    def length(self) -> int:
        """M, the tokens that are there, at most mem_len."""
        return self.hidden[0].shape[1]

    def swapped(self, layer: int, h: Any) -> np.ndarray:
        """What is there of a layer, (B, M, D), before h (B, T, D) is put behind it."""
        before = self.hidden[layer]
        both = np.concatenate([before, h.data], axis=1)  # of the array: the tape ends here
        self.hidden[layer] = both[:, max(both.shape[1] - self.room, 0) :]
        return before


def rel_shift(x: Any) -> Any:
    """Appendix B: x (*, T, N), column c of distance N - 1 - c -> the same shape, where column j is of the j-th key.

    y[i, j] = x[i, j + T - 1 - i]: query i is N - T + i places behind the first key. Where j lies in i's future, y has numbers of
    other rows, to be masked. A column of zeros before x, and its rows read in lengths of T, moves each row one place further than
    the one below it.
    """
    *leading, T, N = x.shape
    x = F.pad(x, (1, 0)).reshape(*leading, N + 1, T)
    return x[..., 1:, :].reshape(*leading, T, N)


def distances(width: int, count: int, clamp: int = 0) -> np.ndarray:
    """Section 3.3, R: sines, then cosines, of distances count - 1, ..., 1, 0, at most clamp (0: any).  (count, width)"""
    places = np.arange(count - 1, -1, -1.0)
    angles = np.outer(np.minimum(places, clamp) if clamp else places, 10000.0 ** (-np.arange(0.0, width, 2.0) / width))
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


class RelativeAttention(nn.Module):
    """Section 3.3:  A_ij = q_i k_j + q_i W_R R_(i-j) + u k_j + v W_R R_(i-j),  y = norm(h + W_o softmax(A / sqrt(D_h)) values)

    u is r_w_bias and v r_r_bias; keys and values are of the memory, too, queries of h alone.
    """

    def __init__(self, config: TransformerXLConfig) -> None:
        super().__init__()
        self.heads, self.width = config.n_head, config.d_head
        inner = config.n_head * config.d_head
        self.qkv_net = nn.Linear(config.d_model, 3 * inner, bias=False)
        self.drop = nn.Dropout(config.drop_rate)
        self.o_net = nn.Linear(inner, config.d_model, bias=False)
        self.layer_norm = nn.LayerNorm(config.d_model)
        self.r_net = nn.Linear(config.d_model, inner, bias=False)

    def forward(self, h: Any, memory: Any, r: Any, u: Any, v: Any, sees: np.ndarray) -> Any:
        """h (B, T, D), memory (B, M, D), r (N, D), u and v (heads, D_h), sees (T, N) -> (B, T, D); N = M + T"""
        (B, T, _), (N, _), inner = h.shape, r.shape, self.heads * self.width
        q = F.linear(h, self.qkv_net.weight[:inner]).reshape(B, T, self.heads, self.width).transpose(1, 2)  # (B, heads, T, D_h)
        both = np.concatenate([memory, h], axis=1) if memory.shape[1] else h  # (B, N, D)
        kv = F.linear(both, self.qkv_net.weight[inner:]).reshape(B, N, 2, self.heads, self.width)  # (B, N, 2, heads, D_h)
        k, values = kv.permute(2, 0, 3, 1, 4).unbind(0)  # 2 x (B, heads, N, D_h)
        r = self.r_net(r).reshape(N, self.heads, self.width).permute(1, 2, 0)  # (heads, D_h, N)
        by_distance = rel_shift((q + v[:, None]) @ r) * self.width**-0.5  # (B, heads, T, N)
        by_distance = np.where(sees, by_distance, np.asarray(-np.inf, by_distance.dtype))
        y = F.scaled_dot_product_attention(q + u[:, None], k, values, by_distance)  # (B, heads, T, D_h)
        y = self.o_net(y.transpose(1, 2).reshape(B, T, inner))  # (B, T, D)
        return self.layer_norm(h + self.drop(y))


class FeedForward(nn.Module):
    """y = norm(h + W_2 relu(W_1 h + b_1) + b_2)"""

    def __init__(self, config: TransformerXLConfig) -> None:
        super().__init__()
        drop, wide = config.drop_rate, config.d_inner
        layers = nn.Linear(config.d_model, wide), nn.ReLU(), nn.Dropout(drop), nn.Linear(wide, config.d_model), nn.Dropout(drop)
        self.CoreNet = nn.Sequential(*layers)
        self.layer_norm = nn.LayerNorm(config.d_model)

    def forward(self, h: Any) -> Any:
        """(B, T, D) -> the same"""
        into, _, drop, out, drop_last = self.CoreNet
        return self.layer_norm(h + drop_last(out(drop(into(h, activation="relu")))))


class Layer(nn.Module):
    """Section 3.3's summary: attention, then the two layers of each place."""

    def __init__(self, config: TransformerXLConfig) -> None:
        super().__init__()
        self.dec_attn = RelativeAttention(config)
        self.pos_ff = FeedForward(config)

    def forward(self, h: Any, *given: Any) -> Any:
        """(B, T, D), and what attention takes -> (B, T, D)"""
        return self.pos_ff(self.dec_attn(h, *given))


class TransformerXL(nn.Module):
    """Section 3: tokens (B, T) -> log-probabilities (B, T, V); those at t are of token t + 1."""

    def __init__(self, config: TransformerXLConfig) -> None:
        super().__init__()
        self.config = config
        small = nn.init.normal(std=0.02)
        self.r_w_bias = nn.Parameter((config.n_head, config.d_head), small)
        self.r_r_bias = nn.Parameter((config.n_head, config.d_head), small)
        self.word_emb = AdaptiveEmbedding(config.clusters, config.d_model, config.div_val)
        self.drop = nn.Dropout(config.drop_rate)
        self.layers = nn.ModuleList([Layer(config) for _ in range(config.n_layer)])
        self.crit = AdaptiveSoftmax(config.clusters, config.d_model, config.div_val).tied(self.word_emb)
        for layer in (each for each in self.layers.modules() if isinstance(each, nn.Linear)):
            nn.init.normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def hidden(self, tokens: Any, memory: Memory | None = None) -> Any:
        """What the last layer says of tokens (B, T), behind those that are in the memory: (B, T, D)"""
        if len(tokens.shape) != 2 or (memory is not None and memory.batch != tokens.shape[0]):
            given = f"tokens {tuple(tokens.shape)}" + (f", memory of {memory.batch} texts" if memory is not None else "")
            problem = f"this model reads tokens (B, T), and a memory of as many texts, got {given}"
            raise ShapeError("transformer_xl", problem, given, "one text is tokens[None]; make a memory with model.memory(B)")
        T, N = tokens.shape[1], tokens.shape[1] + (memory.length if memory is not None else 0)
        h = self.drop(self.word_emb(tokens))  # (B, T, D)
        r = self.drop(Tensor(distances(self.config.d_model, N, self.config.clamp_len).astype(h.dtype)))  # (N, D)
        sees = self.sees(T, N)
        for i, layer in enumerate(self.layers):
            before = h.data[:, :0] if memory is None else memory.swapped(i, h)  # (B, M, D)
            h = layer(h, before, r, self.r_w_bias, self.r_r_bias, sees)
        return self.drop(h)

    def sees(self, T: int, N: int) -> np.ndarray:
        """(T, N): the last T of N tokens see their own and those before; with same_length, the last mem_len of these."""
        past = np.tri(T, N, N - T, bool)
        return past & ~np.tri(T, N, N - T - self.config.mem_len, bool) if self.config.same_length else past

    def forward(self, tokens: Any, memory: Memory | None = None, last: bool = False) -> Any:
        """(B, T) of whole numbers below vocab_size -> (B, T, vocab_size); last: of the last token alone, (B, 1, vocab_size)"""
        h = self.hidden(tokens, memory)
        return self.crit.log_prob(h[:, -1:] if last else h)

    def memory(self, batch: int = 1) -> Memory:
        """An empty memory for so many texts."""
        return Memory(self.config, batch, self.r_w_bias.dtype)

    def loss(self, tokens: Any, memory: Memory | None = None) -> Any:
        """The mean of -log p of tokens (B, T + 1) but the first, in nats. With a memory, the next call begins at the last."""
        numbers = np.asarray(raw(tokens))
        h = self.hidden(numbers[:, :-1], memory)  # (B, T, D)
        return self.crit(h.reshape(-1, self.config.d_model), numbers[:, 1:].reshape(-1)).mean()

    def from_published(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Without the sines. CheckpointError where what this model has once, for input and output, is there in two ways."""
        found = {key: array for key, array in arrays.items() if key != "pos_emb.inv_freq"}
        names = {id(parameter): name for name, parameter in self.named_parameters()}
        for key, parameter, _ in self._entries():
            first = names.get(id(parameter), key)
            if {key, first} <= found.keys() and not np.array_equal(found[key], found[first]):
                raise CheckpointError(f"{key} is not {first}: this model has one parameter for both")
        return found


@dataclass(frozen=True)
class TransformerXLConfig(Texts):
    """What the authors' scripts set and what a user may change.

    tgt_len: tokens of a segment; mem_len: of the memory; cutoffs, div_val: of the adaptive softmax; clamp_len: the largest
    distance that is told apart, 0: any; same_length: every token sees mem_len ones, its own included.
    """

    longest: ClassVar[str] = "tgt_len"
    writes: ClassVar[bool] = True
    recurrent: ClassVar[bool] = True

    d_model: int
    n_layer: int
    n_head: int
    d_head: int
    d_inner: int
    tgt_len: int
    mem_len: int
    vocab_size: int
    cutoffs: tuple[int, ...] = ()
    div_val: int = 1
    drop_rate: float = 0.0
    clamp_len: int = 0
    same_length: bool = False

    def __post_init__(self) -> None:
        if self.d_model % 2:
            raise ValueError(f"d_model {self.d_model} must be even: half of a distance's vector are sines")
        if self.mem_len < int(self.same_length):
            raise ValueError(f"mem_len must be 0 or more, and with same_length 1 or more, got {self.mem_len}")
        if self.div_val < 1 or self.d_model < self.div_val ** len(self.clusters.cutoffs):
            raise ValueError(f"div_val {self.div_val} leaves the rarest words nothing of d_model {self.d_model}")

    @property
    def clusters(self) -> Clusters:
        """The stretches of the vocabulary."""
        return Clusters(self.vocab_size, self.cutoffs)

    @property
    def n_positions(self) -> int:
        """The longest text that is read at once where somebody asks: a segment and the memory. The model reads any."""
        return self.tgt_len + self.mem_len


BASE = TransformerXLConfig(410, 16, 10, 41, 2100, 150, 150, 267_735, (20_000, 40_000, 200_000))
LARGE = TransformerXLConfig(1024, 18, 16, 64, 4096, 384, 384, 267_735, (20_000, 40_000, 200_000), div_val=4)
LETTERS = TransformerXLConfig(512, 12, 8, 64, 2048, 512, 512, 204)
LETTERS_LARGE = TransformerXLConfig(1024, 24, 8, 128, 3072, 768, 768, 204)


@register("transformer_xl_wt103", BASE, params=151_107_538, macs=23_058_687_000)
@register("transformer_xl_wt103_large", LARGE, params=285_170_506, macs=117_491_902_464)
@register("transformer_xl_enwik8", LETTERS, params=41_055_436, macs=25_823_281_152)
@register("transformer_xl_enwik8_large", LETTERS_LARGE, params=277_231_820, macs=256_247_857_152)
@register("transformer_xl_tiny", TransformerXLConfig(64, 3, 4, 16, 128, 64, 64, 512))
def build(config: TransformerXLConfig) -> TransformerXL:
    """A Transformer-XL of the given configuration."""
    return TransformerXL(config)
