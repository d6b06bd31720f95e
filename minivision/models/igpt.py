"""Generative Pretraining from Pixels.

Chen, Radford, Child, Wu, Jun, Luan, Sutskever. ICML 2020.

A picture, row by row, is a text whose words are the colours of a small palette. A GPT learns to say the next pixel; what it
must know for that, its middle layers know best, as a linear classifier on them shows.

Attention is GPT-2's. Names and keys are those of transformers' ImageGPT, whose matrices are (in, out); the palette is
minivision.data.palette. Deviations, as there: biases, which the authors' weights have at 0; their "layer norm" takes no mean
away and has no bias. No dropout, which the authors do not have either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import functional as F
from .. import nn, random
from ..errors import ShapeError
from ..recording import no_grad
from ..tape import Tensor
from ._backbone import Texts
from ._registry import register
from .gpt2 import Attention, Conv1D


class Mlp(nn.Module):
    """Two layers, x sigmoid(1.702 x) between them."""

    def __init__(self, config: ImageGPTConfig) -> None:
        super().__init__()
        self.c_fc = Conv1D(config.n_embd, 4 * config.n_embd)
        self.c_proj = Conv1D(4 * config.n_embd, config.n_embd, config.branch_std)

    def forward(self, x: Any) -> Any:
        """(B, T, D) -> the same"""
        return self.c_proj(F.quick_gelu(self.c_fc(x)))


class Block(nn.Module):
    """Section 2.2: n = norm(h),  a = h + attention(n),  h' = a + mlp(norm(a))"""

    def __init__(self, config: ImageGPTConfig) -> None:
        super().__init__()
        self.ln_1 = nn.RMSNorm(config.n_embd, eps=1e-5)
        self.attn = Attention(config)
        self.ln_2 = nn.RMSNorm(config.n_embd, eps=1e-5)
        self.mlp = Mlp(config)

    def forward(self, x: Any) -> Any:
        """(B, T, D) -> the same"""
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """Section 2.2: tokens (B, T) -> (B, T, D), by positions and blocks."""

    def __init__(self, config: ImageGPTConfig) -> None:
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.h = nn.ModuleList([Block(config) for _ in range(config.n_layer)])
        self.ln_f = nn.RMSNorm(config.n_embd, eps=1e-5)
        for table in (self.wte, self.wpe):
            nn.init.normal_(table.weight, std=0.02)

    def after(self, tokens: Any, blocks: int) -> Any:
        """The hidden states h behind so many blocks, without a norm.  (B, T) -> (B, T, D)"""
        x = self.wte(tokens) + self.wpe(np.arange(tokens.shape[1]))  # (B, T, D)
        for block in list(self.h)[:blocks]:
            x = block(x)
        return x

    def forward(self, tokens: Any) -> Any:
        """(B, T) -> (B, T, D)"""
        return self.ln_f(self.after(tokens, len(self.h)))


class ImageGPT(nn.Module):
    """Section 2: tokens (B, T) that begin with the start -> logits (B, T, colours); those at t are of pixel t."""

    def __init__(self, config: ImageGPTConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = Transformer(config)
        self.lm_head = nn.Linear(config.n_embd, config.colours, bias=False)
        nn.init.zeros_(self.lm_head.weight)

    def forward(self, tokens: Any) -> Any:
        """(B, T) of whole numbers below vocab_size -> (B, T, colours)"""
        self._check(tokens)
        return self.lm_head(self.transformer(tokens))

    def shifted(self, pixels: Any) -> np.ndarray:
        """What the network reads to say these pixels: the start, then all but the last.  (B, T) -> (B, T), an array

        pixels: an array or a Tensor of whole numbers, also bytes; the start's number is self.config.colours.
        """
        pixels = np.asarray(pixels.data if isinstance(pixels, Tensor) else pixels)
        start = np.full((len(pixels), 1), self.config.colours)  # not in the pixels' own type: bytes end at 255
        return np.concatenate([start, pixels[:, :-1]], axis=1)

    def loss(self, pixels: Any) -> Any:
        """Section 2.1: -log p(x) / T,  log p(x) = sum_t log p(x_t | x_1 ... x_(t-1)).  pixels (B, T) -> a number, in nats"""
        pixels = np.asarray(pixels.data if isinstance(pixels, Tensor) else pixels)
        logits = self(self.shifted(pixels))  # (B, T, colours)
        return F.cross_entropy(logits.reshape(-1, self.config.colours), pixels.reshape(-1))

    def features(self, pixels: Any, layer: int) -> Any:
        """Section 2.4, the linear probe's: the mean over the pixels of norm(h^l), l = `layer` from 0 to n_layer.

        pixels (B, T) -> (B, D). The norm is that of the block which reads h^l, and the last one behind all blocks.
        """
        blocks = self.transformer.h
        if not 0 <= layer <= len(blocks):
            raise ValueError(f"layer should be from 0, the embeddings, to {len(blocks)}, the last block's, got {layer}")
        tokens = self.shifted(pixels)
        self._check(tokens)
        norm = blocks[layer].ln_1 if layer < len(blocks) else self.transformer.ln_f
        return norm(self.transformer.after(tokens, layer)).mean(1)  # (B, D)

    @no_grad()
    def complete(self, pixels: Any, length: int, temperature: float = 1.0, rng: np.random.Generator | None = None) -> np.ndarray:
        """Draws pixel by pixel what follows, by section 2.1's p.  pixels (B, K), K from 0 -> (B, length)

        temperature 0 takes the likeliest. Without rng, mv.manual_seed's generator draws.
        """
        drawn, rng = np.asarray(pixels, np.int64), rng or random.generator()
        for _ in range(length - drawn.shape[1]):
            read = self.shifted(np.pad(drawn, ((0, 0), (0, 1))))  # the pixel to come is not read
            logits = self(read).numpy()[:, -1]  # (B, colours)
            noise = temperature * rng.gumbel(size=logits.shape)  # the largest of logits / T + noise is drawn by softmax
            drawn = np.concatenate([drawn, np.argmax(logits + noise, axis=1)[:, None]], axis=1)
        return drawn

    def _check(self, tokens: Any) -> None:
        if len(tokens.shape) != 2 or tokens.shape[1] > self.config.n_positions:
            want = f"this model reads tokens (B, T), T up to {self.config.n_positions}, got {tuple(tokens.shape)}"
            hint = "flatten the images row by row; or build the model for longer ones: create_model(..., n_positions=T)"
            raise ShapeError("igpt", want, f"tokens {tuple(tokens.shape)}", hint)


@dataclass(frozen=True)
class ImageGPTConfig(Texts):
    """Section 3.3 and what a user may change.

    n_positions: pixels of a picture; vocab_size: colours, and one for the start, whose number is the largest.
    """

    n_embd: int
    n_layer: int
    n_head: int = 8
    n_positions: int = 1024
    vocab_size: int = 513

    def __post_init__(self) -> None:
        if self.n_embd % self.n_head:
            raise ValueError(f"n_embd {self.n_embd} must be a multiple of n_head {self.n_head}")
        if self.vocab_size < 2:
            raise ValueError(f"vocab_size counts the start and one colour or more: at least 2, got {self.vocab_size}")

    @property
    def colours(self) -> int:
        """Of the palette; also the number of the start."""
        return self.vocab_size - 1

    @property
    def branch_std(self) -> float:
        """How the last matrix of a branch starts: so that the sum of all 2 n_layer branches does not grow with their number."""
        return 0.02 / float(np.sqrt(2 * self.n_layer))


@register("igpt_small", ImageGPTConfig(512, 24), params=76_682_240, macs=103_347_650_560)
@register("igpt_medium", ImageGPTConfig(1024, 36), params=455_489_536, macs=541_702_750_208)
@register("igpt_large", ImageGPTConfig(1536, 48, 16), params=1_362_914_304, macs=1_546_993_532_928)
@register("igpt_digits", ImageGPTConfig(64, 6, 4, n_positions=64, vocab_size=17))
def build(config: ImageGPTConfig) -> ImageGPT:
    """An iGPT of the given configuration."""
    return ImageGPT(config)
