"""Writes attention_cnn.json and attention_cnn.npz.

python tests/golden/make_attention_cnn.py      # in an environment with torch at the version in reference.py

There is no package of this paper's networks: the reference below follows its equations in plain PyTorch, with the structure and
names of github.com/epfml/attention-cnn.
"""

from __future__ import annotations

from typing import Any

import torch
from reference import write
from torch import nn

Tensor = torch.Tensor


class Heads(nn.Module):
    """Section 3.1's logits <v, r> with r = (dy, dx, dy^2, dx^2, dy dx); test_attention_cnn.py has the Gaussian they stand for."""

    def __init__(self, D: int, heads: int, isotropic: bool) -> None:
        super().__init__()
        self.attention_centers = nn.Parameter(torch.zeros(heads, 2))
        self.attention_spreads = nn.Parameter(torch.zeros(heads) if isotropic else torch.zeros(heads, 2, 2))
        self.value = nn.Linear(heads * D, D)

    def forward(self, x: Tensor) -> Tensor:
        B, H, W, D = x.shape
        s, heads = self.attention_spreads, len(self.attention_spreads)
        isotropic = s.square().reshape(-1, 1, 1) * torch.eye(2, dtype=x.dtype, device=x.device)
        S = isotropic if s.ndim == 1 else torch.einsum("hij,hkj->hik", s, s)  # (heads, 2, 2): S^-1
        linear = (S * self.attention_centers[:, None]).sum(-1)
        v = torch.cat([linear, -S[:, :1, 0] / 2, -S[:, 1:, 1] / 2, -S[:, :1, 1]], 1)  # (heads, 5)
        places = torch.cartesian_prod(*(torch.arange(n, dtype=x.dtype, device=x.device) for n in (H, W)))  # (N, 2)
        away = places[None] - places[:, None]
        r = torch.cat([away, away.square(), away.prod(-1, keepdim=True)], -1)  # (N, N, 5)
        p = torch.einsum("qkd,hd->hqk", r, v).softmax(-1)
        y = torch.matmul(p, x.reshape(B, 1, H * W, D))  # (B, heads, N, D)
        return self.value(y.transpose(1, 2).reshape(B, H, W, heads * D))


class Residual(nn.Module):
    def __init__(self, inputs: int, D: int) -> None:
        super().__init__()
        self.dense, self.LayerNorm = nn.Linear(inputs, D), nn.LayerNorm(D, eps=1e-12)

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        return self.LayerNorm(x + self.dense(y))


class Layer(nn.Module):
    def __init__(self, D: int, heads: int, inner: int, isotropic: bool) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({"self": Heads(D, heads, isotropic), "output": Residual(D, D)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(D, inner)})
        self.output = Residual(inner, D)

    def forward(self, x: Tensor) -> Tensor:
        x = self.attention["output"](self.attention["self"](x), x)
        return self.output(nn.functional.gelu(self.intermediate["dense"](x)), x)


class Network(nn.Module):
    def __init__(self, D: int, depth: int, heads: int, inner: int, isotropic: bool, num_classes: int) -> None:
        super().__init__()
        self.features_upscale = nn.Linear(12, D)
        self.encoder = nn.ModuleDict({"layer": nn.Sequential(*(Layer(D, heads, inner, isotropic) for _ in range(depth)))})
        self.classifier = nn.Linear(D, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        corners = [x[:, :, dy::2, dx::2] for dy in (0, 1) for dx in (0, 1)]
        x = self.features_upscale(torch.cat(corners, 1).permute(0, 2, 3, 1))
        return self.classifier(self.encoder["layer"](x).mean((1, 2)))


def build(
    name: str, hidden_size: int = 400, depth: int = 6, num_heads: int = 9, intermediate_size: int = 512, num_classes: int = 10,
    drop_rate: float = 0.0,
) -> nn.Module:  # fmt: skip
    """The reference of a name; it has no dropout."""
    return Network(hidden_size, depth, num_heads, intermediate_size, name == "attention_cnn_quadratic", num_classes)


SMALL = {"hidden_size": 24, "depth": 2, "num_heads": 5, "intermediate_size": 32, "drop_rate": 0.0}
NAMES = ("attention_cnn_quadratic", "attention_cnn_generalized")
CASES: dict[str, dict[str, Any]] = {}
for each in NAMES:  # without dropout, and without norms of batches, training mode is the same function
    CASES[f"{each} eval"] = {"model": each, "input": [3, 12, 12], "batch": 3, "gradients": True, "overrides": SMALL}
CASES["attention_cnn_quadratic wide"] = {"model": NAMES[0], "input": [3, 6, 10], "batch": 2, "overrides": SMALL}
CASES["attention_cnn_quadratic whole"] = {"model": NAMES[0], "input": [3, 32, 32], "batch": 1}

if __name__ == "__main__":
    write("attention_cnn", build, CASES, dict.fromkeys(NAMES, (3, 32, 32)))
