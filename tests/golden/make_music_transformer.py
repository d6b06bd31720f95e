"""Writes music_transformer.json and music_transformer.npz.

python tests/golden/make_music_transformer.py      # in an environment with torch at the version in reference.py

Plain PyTorch, written here from the paper, under this library's names of entries. Each pair's product is looked up by its
distance, which needs no skewing.
"""

from __future__ import annotations

from typing import Any

import torch
from reference import write
from torch import nn

SIZES = {  # D, layers, heads, inner, distances, events of a piece
    "music_transformer": (512, 6, 8, 2048, 1024, 2048),
    "music_transformer_tiny": (64, 3, 4, 128, 128, 128),
}
NAMES = ["hidden_size", "num_hidden_layers", "num_heads", "filter_size", "max_relative_position", "n_positions"]


class Attention(nn.Module):
    def __init__(self, D: int, heads: int, distances: int, shared: bool, clip: bool) -> None:
        super().__init__()
        self.heads, self.clip = heads, clip
        shape = (distances, D // heads) if shared else (heads, distances, D // heads)
        self.key_relative_embeddings = nn.Parameter(torch.zeros(shape))
        self.q, self.k, self.v, self.output_transform = (nn.Linear(D, D, bias=False) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, L, D = x.shape
        q, k, v = (f(x).reshape(B, L, self.heads, -1) for f in (self.q, self.k, self.v))
        far = (torch.arange(L)[:, None] - torch.arange(L)).to(x.device)  # i - j, (L, L)
        table = self.key_relative_embeddings.flip(-2)  # from distance 0 on
        table = table.expand(self.heads, *table.shape[-2:])
        steps = torch.arange(L, device=x.device)
        known = table[:, steps.clamp(max=table.shape[1] - 1)]
        if not self.clip:
            known = known * (steps < table.shape[1])[:, None]
        products = torch.einsum("bihd,hnd->bhin", q, known)
        relative = products.gather(3, far.clamp(min=0).expand(B, self.heads, L, L))
        scores = (torch.einsum("bihd,bjhd->bhij", q, k) + relative) / (D // self.heads) ** 0.5
        y = torch.einsum("bhij,bjhd->bihd", scores.masked_fill(far < 0, -torch.inf).softmax(-1), v)
        return self.output_transform(y.reshape(B, L, D))


class Layer(nn.Module):
    def __init__(self, D: int, heads: int, inner: int, *others: Any) -> None:
        super().__init__()
        self.norm_1, self.self_attention = nn.LayerNorm(D, eps=1e-6), Attention(D, heads, *others)
        self.norm_2 = nn.LayerNorm(D, eps=1e-6)
        self.conv1, self.conv2 = nn.Linear(D, inner), nn.Linear(inner, D)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.self_attention(self.norm_1(x))
        return x + self.conv2(torch.relu(self.conv1(self.norm_2(x))))


class Logits(nn.Module):
    def __init__(
        self, name: str, vocab_size: int = 388, heads_share_relative_embedding: bool = False, clip: bool = True, **overrides: Any
    ) -> None:
        super().__init__()
        size = {**dict(zip(NAMES, SIZES[name], strict=True)), **overrides}
        D, heads, distances = size["hidden_size"], size["num_heads"], size["max_relative_position"]
        self.embedding = nn.Embedding(vocab_size, D)
        more = size["filter_size"], distances, heads_share_relative_embedding, clip
        self.layers = nn.ModuleList([Layer(D, heads, *more) for _ in range(size["num_hidden_layers"])])
        self.norm = nn.LayerNorm(D, eps=1e-6)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embedding(tokens) * self.embedding.embedding_dim**0.5
        for layer in self.layers:
            x = layer(x)
        return nn.functional.linear(self.norm(x), self.embedding.weight)


def case(name: str, length: int, batch: int, **overrides: Any) -> dict[str, Any]:
    """A case of whole numbers, with gradients."""
    tokens = overrides.get("vocab_size", 388)
    return {"model": name, "input": [length], "batch": batch, "tokens": tokens, "overrides": overrides, "gradients": True}


FEW = {"vocab_size": 60}
CASES = {
    "tiny": case("music_transformer_tiny", 20, 2, **FEW),
    "tiny train": {**case("music_transformer_tiny", 20, 2, **FEW), "train": True},
    "farther than the farthest": case("music_transformer_tiny", 20, 2, **FEW, max_relative_position=6),
    "farther, of zeros": case("music_transformer_tiny", 20, 2, **FEW, max_relative_position=6, clip=False),
    "shared by heads": case("music_transformer_tiny", 20, 2, **FEW, heads_share_relative_embedding=True),
    "base": case("music_transformer", 12, 1, **FEW, num_hidden_layers=1, max_relative_position=16),
}

if __name__ == "__main__":
    write("music_transformer", Logits, CASES, {name: (size[-1],) for name, size in SIZES.items()})
