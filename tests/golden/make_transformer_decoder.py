"""Writes transformer_decoder.json and transformer_decoder.npz.

python tests/golden/make_transformer_decoder.py      # in an environment with torch at the version in reference.py

There is no published model to run: what stands here is the paper's structure, its attentions by other means than the library's
(blocks one by one, groups by unfolding, weights written out).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from reference import write
from torch import nn

SIZES = {  # layers, width, heads, width between, block, tokens, positions
    "transformer_decoder": ("FFFFFF", 512, 8, 2048, 256, 32000, 4096),
    "transformer_decoder_dmca": ("LMLML", 512, 8, 2048, 256, 32000, 4096),
    "transformer_decoder_tiny": ("LMLML", 32, 4, 64, 8, 16, 32),
}


def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """Weights written out; True in `hidden` (M, N) where a query may not see a key."""
    scores = torch.matmul(q, k.mT) / math.sqrt(q.shape[-1])
    return torch.matmul(scores.masked_fill(hidden, -math.inf).softmax(-1), v)


def future(length: int, device: Any) -> torch.Tensor:
    """True where the key comes later."""
    return torch.ones(length, length, dtype=torch.bool, device=device).triu(1)


class SelfAttention(nn.Module):
    """Full, local or memory-compressed."""

    def __init__(self, kind: str, d: int, heads: int, block: int, compression: int) -> None:
        super().__init__()
        self.kind, self.heads, self.block, self.compression = kind, heads, block, compression
        self.in_proj_weight = nn.Parameter(torch.empty(3 * d, d))
        self.out_proj = nn.Linear(d, d, bias=False)
        if kind == "M":
            self.keys, self.values = (nn.Conv1d(d, d, compression, stride=compression) for _ in range(2))

    def compress(self, convolution: nn.Conv1d, x: torch.Tensor) -> torch.Tensor:
        """(B, N, d) -> (B, 1 + N // c, d)"""
        if x.shape[1] < self.compression:
            return x[:, :1]
        windows = x.unfold(1, self.compression, self.compression)  # (B, N // c, d, c)
        y = windows.flatten(2) @ convolution.weight.flatten(1).T + convolution.bias
        return torch.cat([x[:, :1], y], 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        N = x.shape[1]
        q, k, v = (x @ part.T for part in self.in_proj_weight.chunk(3))
        if self.kind == "M":
            k, v = self.compress(self.keys, k), self.compress(self.values, v)
        q, k, v = (each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in (q, k, v))
        if self.kind == "F":
            y = attention(q, k, v, future(N, x.device))
        elif self.kind == "L":
            parts = zip(*(each.split(self.block, 2) for each in (q, k, v)), strict=True)
            y = torch.cat([attention(*part, future(part[0].shape[2], x.device)) for part in parts], 2)
        else:
            last = torch.arange(N // self.compression, device=x.device) * self.compression + self.compression - 1
            late = last >= torch.arange(N, device=x.device)[:, None]
            y = attention(q, k, v, torch.cat([torch.zeros_like(late[:, :1]) if late.shape[1] else late.new_zeros(N, 1), late], 1))
        return self.out_proj(y.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Attention and two linear layers, each with a norm behind its sum."""

    def __init__(self, kind: str, d: int, heads: int, between: int, block: int, compression: int) -> None:
        super().__init__()
        self.self_attn = SelfAttention(kind, d, heads, block, compression)
        self.linear1, self.linear2 = nn.Linear(d, between), nn.Linear(between, d)
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm1(x + self.self_attn(x))
        return self.norm2(x + self.linear2(self.linear1(x).relu()))


class Model(nn.Module):
    """Tokens -> logits."""

    def __init__(
        self,
        name: str,
        layers: str | None = None,
        block: int | None = None,
        compression: int = 3,
        vocab_size: int | None = None,
    ) -> None:
        super().__init__()
        kinds, d, heads, between, size, tokens, _ = SIZES[name]
        parts = [Layer(kind, d, heads, between, block or size, compression) for kind in layers or kinds]
        self.layers, self.embedding = nn.ModuleList(parts), nn.Embedding(vocab_size or tokens, d)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        d = self.embedding.embedding_dim
        channel = torch.arange(d, device=tokens.device, dtype=torch.float64)
        place = torch.arange(tokens.shape[1], device=tokens.device, dtype=torch.float64)
        angle = torch.outer(place, torch.pow(10000.0, -2.0 * torch.div(channel, 2, rounding_mode="floor") / d))
        table = torch.where(channel % 2 == 0, angle.sin(), angle.cos())
        x = self.embedding(tokens) * math.sqrt(d) + table.to(self.embedding.weight.dtype)
        for layer in self.layers:
            x = layer(x)
        return x @ self.embedding.weight.T


build = Model


def case(name: str, length: int, batch: int, **overrides: Any) -> dict[str, Any]:
    """A case of whole numbers."""
    tokens = overrides.get("vocab_size", SIZES[name][5])
    return {"model": name, "input": [length], "batch": batch, "tokens": tokens, "overrides": overrides}


FULL, DMCA, TINY = SIZES
CASES: dict[str, dict[str, Any]] = {
    "tiny": {**case(TINY, 32, 2), "gradients": True},
    "tiny train": {**case(TINY, 32, 2), "gradients": True, "train": True},
    "tiny of 29": {**case(TINY, 29, 2), "gradients": True},
    "tiny of 2": {**case(TINY, 2, 2), "gradients": True},
    "tiny in fives": {**case(TINY, 23, 1, layers="MFL", block=7, compression=5), "gradients": True},
    "full": {**case(FULL, 9, 1, layers="F", vocab_size=60), "gradients": True},
    "dmca": {**case(DMCA, 41, 1, layers="LM", block=16, vocab_size=60), "gradients": True},
}

if __name__ == "__main__":
    torch.set_num_threads(1)
    write("transformer_decoder", Model, CASES, {name: (sizes[6],) for name, sizes in SIZES.items()})
