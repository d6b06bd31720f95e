"""Language Models are Unsupervised Multitask Learners (GPT-2).

Radford, Wu, Child, Luan, Amodei, Sutskever. OpenAI, 2019.

A text is numbers of tokens, and the network says at each place which may come next, seeing only what stood before. That is all
it is trained for; tasks are texts, too.

Names and keys are those of transformers' GPT2LMHeadModel, whose matrices are (in, out). Deviations: the logits' matrix is the
table of tokens itself, so `lm_head.weight` is no entry of its own; `from_published` takes it out of a file, the masks that old
files hold, and adds the prefix that others lack. No dropout unless asked for, and none within attention.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import functional as F
from .. import nn
from ..errors import CheckpointError, ShapeError
from ..tape import Tensor
from ._backbone import Texts
from ._registry import register


class Conv1D(nn.Module):
    """y = x W + b, W (in, out): GPT's linear layer, a convolution with kernels of one token."""

    def __init__(self, inputs: int, outputs: int, std: float = 0.02) -> None:
        super().__init__()
        self.weight = nn.Parameter((inputs, outputs), nn.init.normal(std=std))
        self.bias = nn.Parameter((outputs,))

    def forward(self, x: Any, *, activation: str | None = None) -> Any:
        """(*, in) -> (*, out)"""
        return F.linear(x, np.swapaxes(self.weight, 0, 1), self.bias, activation)


class Memory:
    """Keys and values of the tokens that were read, of every block: so that the next one is read alone.

    `length` of at most `room` tokens are there; arrays (B, heads, room, D_h).
    """

    def __init__(self, config: GPT2Config, batch: int, room: int, dtype: Any) -> None:
        shape = batch, config.n_head, room, config.n_embd // config.n_head
        self.length, self.room = 0, room
        self.blocks = [(np.empty(shape, dtype), np.empty(shape, dtype)) for _ in range(config.n_layer)]

    def extended(self, block: int, k: Any, v: Any) -> tuple[np.ndarray, np.ndarray]:
        """Puts keys and values (B, heads, T, D_h) behind those that a block has, and gives them all: (B, heads, N, D_h)."""
        start, end = self.length, self.length + k.shape[2]
        for store, new in zip(self.blocks[block], (k, v), strict=True):
            store[:, :, start:end] = new.data
        keys, values = self.blocks[block]
        return keys[:, :, :end], values[:, :, :end]


class Attention(nn.Module):
    """Multi-head self-attention in which a token sees itself and those before it. config: with n_embd, n_head, branch_std."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.heads = config.n_head
        self.c_attn = Conv1D(config.n_embd, 3 * config.n_embd)
        self.c_proj = Conv1D(config.n_embd, config.n_embd, config.branch_std)

    def forward(self, x: Any, memory: Memory | None = None, block: int = 0) -> Any:
        """(B, T, D) -> the same; with a memory the tokens come behind those that are in it"""
        B, T, D = x.shape
        qkv = self.c_attn(x).reshape(B, T, 3, self.heads, D // self.heads)  # (B, T, 3, heads, D_h)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # 3 x (B, heads, T, D_h)
        if memory is not None:
            k, v = memory.extended(block, k, v)  # (B, heads, N, D_h), N = those before + T
        x = self.attend(q, k, v)  # (B, heads, T, D_h)
        return self.c_proj(x.transpose(1, 2).flatten(2))

    def attend(self, q: Any, k: Any, v: Any) -> Any:
        """softmax(q k^T / sqrt(D_h)) v, where the last query is of the last key's token.  (B, heads, T, D_h)"""
        T, N = q.shape[2], k.shape[2]
        if T == N or T == 1:
            return F.scaled_dot_product_attention(q, k, v, is_causal=T > 1)
        return F.scaled_dot_product_attention(q, k, v, np.tri(T, N, N - T, bool))


class Mlp(nn.Module):
    """Two layers with the tanh form of GELU between them."""

    activation: ClassVar[str] = "gelu_tanh"

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.c_fc = Conv1D(config.n_embd, 4 * config.n_embd)
        self.c_proj = Conv1D(4 * config.n_embd, config.n_embd, config.branch_std)

    def forward(self, x: Any) -> Any:
        """(B, T, D) -> the same"""
        return self.c_proj(self.c_fc(x, activation=self.activation))


class Block(nn.Module):
    """Section 2.3: the norm is at the input of each branch.  a = x + attention(norm(x)),  y = a + mlp(norm(a))"""

    def __init__(self, config: GPT2Config, attention: type[Attention] = Attention) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd)
        self.attn = attention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd)
        self.mlp = Mlp(config)
        self.drop = nn.Dropout(config.drop_rate)

    def forward(self, x: Any, memory: Memory | None = None, block: int = 0) -> Any:
        """(B, T, D) -> the same"""
        x = x + self.drop(self.attn(self.ln_1(x), memory, block))
        return x + self.drop(self.mlp(self.ln_2(x)))


class Transformer(nn.Module):
    """Tokens (B, T) -> (B, T, D), by positions and blocks."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.drop = nn.Dropout(config.drop_rate)
        self.h = nn.ModuleList([Block(config, config.attention(i)) for i in range(config.n_layer)])
        self.ln_f = nn.LayerNorm(config.n_embd)
        nn.init.normal_(self.wte.weight, std=0.02)
        nn.init.normal_(self.wpe.weight, std=0.01)

    def forward(self, tokens: Any, memory: Memory | None = None) -> Any:
        """(B, T) -> (B, T, D); with a memory the tokens come behind those that are in it, and are remembered too"""
        start = memory.length if memory else 0
        x = self.drop(self.wte(tokens) + self.wpe(np.arange(start, start + tokens.shape[1])))  # (B, T, D)
        for i, block in enumerate(self.h):
            x = block(x, memory, i)
        if memory is not None:
            memory.length += tokens.shape[1]
        return self.ln_f(x)


class GPT2(nn.Module):
    """Section 2: tokens (B, T) -> logits (B, T, V); those at t are of token t + 1."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.config = config
        self.transformer = Transformer(config)

    def forward(self, tokens: Any, memory: Memory | None = None, last: bool = False) -> Any:
        """(B, T) of whole numbers below vocab_size -> (B, T, vocab_size); last: of the last token alone, (B, 1, vocab_size)"""
        before = memory.length if memory else 0
        if len(tokens.shape) != 2 or before + tokens.shape[1] > (memory.room if memory else self.config.n_positions):
            room = memory.room if memory else self.config.n_positions
            problem = f"this model reads tokens (B, T), T up to {room - before}, got {tuple(tokens.shape)}"
            hint = "shorten the text, or build the model for longer ones: create_model(..., n_positions=T)"
            raise ShapeError(type(self).__name__.lower(), problem, f"tokens {tuple(tokens.shape)}", hint)
        x = self.transformer(tokens, memory)  # (B, T, D)
        return F.linear(x[:, -1:] if last else x, self.transformer.wte.weight)

    def memory(self, batch: int = 1) -> Memory:
        """An empty memory for texts of up to n_positions tokens."""
        return Memory(self.config, batch, self.config.n_positions, self.transformer.wte.weight.dtype)

    def loss(self, tokens: Any) -> Any:
        """Section 2, eq. 1: the mean of -log p(s_n | s_1 ... s_(n-1)) over the tokens behind the first.  (B, T) -> nats"""
        numbers = np.asarray(tokens.data if isinstance(tokens, Tensor) else tokens)
        logits = self(numbers[:, :-1])  # (B, T - 1, V)
        return F.cross_entropy(logits.reshape(-1, self.config.vocab_size), numbers[:, 1:].reshape(-1))

    def from_published(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Without masks; with the prefix; the logits' matrix left out, which has to be the table of tokens."""
        found = {key if key.startswith(("transformer.", "lm_head.")) else f"transformer.{key}": a for key, a in arrays.items()}
        found = {key: a for key, a in found.items() if not key.endswith((".attn.bias", ".attn.masked_bias"))}
        head, table = found.pop("lm_head.weight", None), found.get("transformer.wte.weight")
        if head is not None and table is not None and not np.array_equal(head, table):
            raise CheckpointError(
                "lm_head.weight is not the table of tokens, transformer.wte.weight: this model has one for both"
            )
        return found


@dataclass(frozen=True)
class GPT2Config(Texts):
    """Table 2 and what a user may change.

    n_positions: the longest text; vocab_size: different tokens; drop_rate: dropout of embeddings and branches.
    """

    writes: ClassVar[bool] = True

    n_embd: int
    n_layer: int
    n_head: int
    n_positions: int = 1024
    vocab_size: int = 50257
    drop_rate: float = 0.0

    def __post_init__(self) -> None:
        if self.n_embd % self.n_head:
            raise ValueError(f"n_embd {self.n_embd} must be a multiple of n_head {self.n_head}")

    def attention(self, block: int) -> type[Attention]:
        """The attention of block number `block`."""
        return Attention

    @property
    def branch_std(self) -> float:
        """Section 2.3: how the last matrix of a branch starts: so the sum of all 2 n_layer does not grow with their number."""
        return 0.02 / float(np.sqrt(2 * self.n_layer))


@register("gpt2", GPT2Config(768, 12, 12), params=124_439_808, macs=145_824_153_600)
@register("gpt2_medium", GPT2Config(1024, 24, 16), params=354_823_168, macs=413_475_536_896)
@register("gpt2_large", GPT2Config(1280, 36, 20), params=774_030_080, macs=887_285_350_400)
@register("gpt2_xl", GPT2Config(1600, 48, 25), params=1_557_611_200, macs=1_753_351_782_400)
@register("gpt2_tiny", GPT2Config(64, 4, 4, n_positions=128, vocab_size=512))
def build(config: GPT2Config) -> GPT2:
    """A GPT-2 of the given configuration."""
    return GPT2(config)
