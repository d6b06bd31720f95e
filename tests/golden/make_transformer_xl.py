"""Writes transformer_xl.json and transformer_xl.npz.

python tests/golden/make_transformer_xl.py      # in an environment with torch at the version in reference.py

Plain PyTorch, written here from the paper and the authors' names of entries, with places first: (T, B, D). Distances are looked
up one by one, which needs no shift.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from reference import fill, write
from torch import nn
from weights import numbers

CUTOFFS = [20_000, 40_000, 200_000]
SIZES = {  # D, layers, heads, D_h, inner, T, M, words, cutoffs, div_val
    "transformer_xl_wt103": (410, 16, 10, 41, 2100, 150, 150, 267_735, CUTOFFS, 1),
    "transformer_xl_wt103_large": (1024, 18, 16, 64, 4096, 384, 384, 267_735, CUTOFFS, 4),
    "transformer_xl_enwik8": (512, 12, 8, 64, 2048, 512, 512, 204, [], 1),
    "transformer_xl_enwik8_large": (1024, 24, 8, 128, 3072, 768, 768, 204, [], 1),
    "transformer_xl_tiny": (64, 3, 4, 16, 128, 64, 64, 512, [], 1),
}
NAMES = ["d_model", "n_layer", "n_head", "d_head", "d_inner", "tgt_len", "mem_len", "vocab_size", "cutoffs", "div_val"]


class Attention(nn.Module):
    def __init__(self, D: int, heads: int, width: int) -> None:
        super().__init__()
        self.heads, self.width = heads, width
        self.qkv_net = nn.Linear(D, 3 * heads * width, bias=False)
        self.o_net = nn.Linear(heads * width, D, bias=False)
        self.layer_norm = nn.LayerNorm(D)
        self.r_net = nn.Linear(D, heads * width, bias=False)

    def forward(self, h, before, r, u, v, hidden_keys):
        (T, B, _), N = h.shape, len(r)
        qkv = self.qkv_net(torch.cat([before, h]))
        q, k, values = (each.reshape(N, B, self.heads, self.width) for each in qkv.chunk(3, -1))
        q = q[N - T :]
        r = self.r_net(r).reshape(N, self.heads, self.width)  # of distance 0, 1, ..., N - 1
        scores = torch.einsum("ibhd,jbhd->ijbh", q + u, k)
        far = (torch.arange(N - T, N)[:, None] - torch.arange(N)).clamp(min=0).to(h.device)  # i - j, (T, N)
        table = torch.einsum("ibhd,nhd->inbh", q + v, r)
        scores = scores + table.gather(1, far[:, :, None, None].expand(T, N, B, self.heads))
        scores = (scores / self.width**0.5).masked_fill(hidden_keys[:, :, None, None], -torch.inf)
        y = torch.einsum("ijbh,jbhd->ibhd", scores.softmax(1), values)
        return self.layer_norm(h + self.o_net(y.reshape(T, B, -1)))


class FeedForward(nn.Module):
    def __init__(self, D: int, inner: int) -> None:
        super().__init__()
        self.CoreNet = nn.Sequential(nn.Linear(D, inner), nn.ReLU(), nn.Dropout(0), nn.Linear(inner, D), nn.Dropout(0))
        self.layer_norm = nn.LayerNorm(D)

    def forward(self, h):
        return self.layer_norm(h + self.CoreNet(h))


class Layer(nn.Module):
    def __init__(self, D: int, heads: int, width: int, inner: int) -> None:
        super().__init__()
        self.dec_attn = Attention(D, heads, width)
        self.pos_ff = FeedForward(D, inner)

    def forward(self, h, *given):
        return self.pos_ff(self.dec_attn(h, *given))


class Words(nn.Module):
    def __init__(self, D: int, bounds: list[int], div_val: int) -> None:
        super().__init__()
        self.D, self.bounds, self.div_val = D, bounds, div_val
        sizes = np.diff(bounds) if div_val > 1 else [bounds[-1]]
        self.emb_layers = nn.ModuleList([nn.Embedding(int(n), D // div_val**i) for i, n in enumerate(sizes)])
        self.emb_projs = nn.ParameterList(
            [nn.Parameter(torch.zeros(D, D // div_val**i)) for i in range(len(sizes))] if div_val > 1 else []
        )

    def forward(self, tokens):
        if self.div_val == 1:
            return self.emb_layers[0](tokens) * self.D**0.5
        if tokens.is_meta:  # counted for a text of frequent words
            return self.emb_layers[0](tokens) @ self.emb_projs[0].t()
        y = 0.0
        for table, matrix, low, high in zip(self.emb_layers, self.emb_projs, self.bounds[:-1], self.bounds[1:], strict=True):
            inside = (tokens >= low) & (tokens < high)
            y = y + table((tokens - low).clamp(0, high - low - 1)) @ matrix.t() * inside[..., None]
        return y * self.D**0.5


class Softmax(nn.Module):
    def __init__(self, D: int, bounds: list[int], div_val: int, words: Words) -> None:
        super().__init__()
        self.bounds, self.div_val = bounds, div_val
        if len(bounds) > 2:
            self.cluster_weight = nn.Parameter(torch.zeros(len(bounds) - 2, D))
            self.cluster_bias = nn.Parameter(torch.zeros(len(bounds) - 2))
        self.out_layers = nn.ModuleList([nn.Linear(t.embedding_dim, t.num_embeddings) for t in words.emb_layers])
        for layer, table in zip(self.out_layers, words.emb_layers, strict=True):
            layer.weight = table.weight
        own = [nn.Parameter(torch.zeros(D, D)), *list(words.emb_projs)[1:]] if div_val > 1 else []
        self.out_projs = nn.ParameterList(own)

    def forward(self, h):
        parts = []
        for i, (low, high) in enumerate(zip(self.bounds[:-1], self.bounds[1:], strict=True)):
            layer = self.out_layers[i if self.div_val > 1 else 0]
            rows = slice(None) if self.div_val > 1 else slice(low, high)
            weight, bias = layer.weight[rows], layer.bias[rows]
            if i == 0 and len(self.bounds) > 2:
                weight, bias = torch.cat([weight, self.cluster_weight]), torch.cat([bias, self.cluster_bias])
            logits = nn.functional.linear(h @ self.out_projs[i] if self.div_val > 1 else h, weight, bias)
            parts.append(logits.log_softmax(-1))
        head, frequent = parts[0], self.bounds[1]
        return torch.cat([head[..., :frequent], *(head[..., -i, None] + part for i, part in enumerate(parts[1:], 1))], -1)


class Logits(nn.Module):
    """(B, T) -> log-probabilities (B, T, V), with what is kept of the segments before in `kept`, where mem_len is remembered."""

    def __init__(self, name: str, remember: bool = False, **overrides: Any) -> None:
        super().__init__()
        size = {**dict(zip(NAMES, SIZES[name], strict=True)), "clamp_len": 0, "same_length": False, **overrides}
        self.size, bounds = size, [0, *size["cutoffs"], size["vocab_size"]]
        D, heads, width = size["d_model"], size["n_head"], size["d_head"]
        self.r_w_bias, self.r_r_bias = nn.Parameter(torch.zeros(heads, width)), nn.Parameter(torch.zeros(heads, width))
        self.word_emb = Words(D, bounds, size["div_val"])
        self.layers = nn.ModuleList([Layer(D, heads, width, size["d_inner"]) for _ in range(size["n_layer"])])
        self.crit = Softmax(D, bounds, size["div_val"], self.word_emb)
        self.remember, self.kept = remember, [None] * size["n_layer"]

    def forward(self, tokens):
        h = self.word_emb(tokens.t())  # (T, B, D)
        T, D, M = len(h), self.size["d_model"], 0 if self.kept[0] is None else len(self.kept[0])
        far = torch.arange(T + M, dtype=h.dtype, device=h.device)
        if self.size["clamp_len"]:
            far = far.clamp(max=self.size["clamp_len"])
        angles = far[:, None] / 10000 ** (torch.arange(0, D, 2, dtype=h.dtype, device=h.device) / D)
        r = torch.cat([angles.sin(), angles.cos()], -1)
        distance = torch.arange(M, M + T, device=h.device)[:, None] - torch.arange(M + T, device=h.device)
        unseen = distance < 0
        if self.size["same_length"]:
            unseen = unseen | (distance >= self.size["mem_len"])
        for i, layer in enumerate(self.layers):
            before = h[:0] if self.kept[i] is None else self.kept[i]
            if self.remember:
                self.kept[i] = torch.cat([before, h])[-self.size["mem_len"] :].detach()
            h = layer(h, before, r, self.r_w_bias, self.r_r_bias, unseen)
        return self.crit(h).transpose(0, 1)


SMALL = {"d_model": 16, "n_layer": 2, "n_head": 2, "d_head": 6, "d_inner": 20, "vocab_size": 30, "cutoffs": [8, 20]}


def segments(label: str, mem_len: int, **overrides: Any) -> dict[str, np.ndarray]:
    """Four segments of five tokens, each behind what is kept of those before; once all gradients of the last one's loss."""
    model = fill(Logits("transformer_xl_tiny", remember=True, **SMALL, mem_len=mem_len, **overrides).double())
    tokens = torch.from_numpy(numbers("stream", (2, 21), 30))
    ys = [model(tokens[:, 5 * i : 5 * i + 5]) for i in range(4)]
    found = {f"{label} outputs": torch.stack(ys).detach().numpy()}
    if label == "memory":
        (-ys[-1].gather(-1, tokens[:, 16:, None]).mean()).backward()
        found[f"{label} gradients"] = np.concatenate([p.grad.numpy().ravel() for p in model.parameters()])
    return found


def case(name: str, length: int, batch: int, **overrides: Any) -> dict[str, Any]:
    """A case of whole numbers."""
    tokens = overrides.get("vocab_size", SIZES[name][7])
    return {"model": name, "input": [length], "batch": batch, "tokens": tokens, "overrides": overrides}


FEW = {"n_layer": 1, "vocab_size": 60}
CASES: dict[str, dict[str, Any]] = {
    "tiny": {**case("transformer_xl_tiny", 20, 2, vocab_size=100), "gradients": True},
    "tiny train": {**case("transformer_xl_tiny", 20, 2, vocab_size=100), "gradients": True, "train": True},
    "tiny adaptive": {**case("transformer_xl_tiny", 9, 2, vocab_size=100, cutoffs=[10, 40], div_val=2), "gradients": True},
    "wt103": {**case("transformer_xl_wt103", 8, 1, **FEW, cutoffs=[10, 20, 40]), "gradients": True},
    "wt103 large": case("transformer_xl_wt103_large", 8, 1, **FEW, cutoffs=[10, 20, 40]),
    "enwik8": case("transformer_xl_enwik8", 8, 1, **FEW),
    "enwik8 large": case("transformer_xl_enwik8_large", 8, 1, **FEW),
}

if __name__ == "__main__":
    kept = segments("memory", 7) | segments("shorter", 3, clamp_len=4, div_val=2) | segments("same", 6, same_length=True)
    write("transformer_xl", Logits, CASES, {name: (size[5],) for name, size in SIZES.items()}, more=kept)
