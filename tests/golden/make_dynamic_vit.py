"""Writes dynamic_vit.json and dynamic_vit.npz.

python tests/golden/make_dynamic_vit.py      # in an environment with torch and timm at the versions in reference.py

The reference is timm's DeiT with what the paper adds in plain torch, under the names of raoyongming/DynamicViT. The training
case draws its Gumbel noise by rule; as no model of a registered name does, its arrays lie beside the cases, under TRAIN.
"""

from __future__ import annotations

import itertools
from typing import Any

import timm
import torch
from reference import both_modes, run, write
from weights import gumbel

RATES = {"dynamic_vit_small_r05": 0.5, "dynamic_vit_small_r06": 0.6, "dynamic_vit_small": 0.7}
RATES |= {"dynamic_vit_small_r08": 0.8, "dynamic_vit_small_r09": 0.9}
DIGITS = {"img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 10, "embed_dim": 64, "depth": 4, "num_heads": 4}
TRAIN = "digits train"
NOISE = "choice"


class Score(torch.nn.Module):
    """Log-probabilities of keeping and dropping each patch; `kept` weighs the patches in the mean."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        nn = torch.nn
        self.in_conv = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU())
        widths = dim, dim // 2, dim // 4, 2
        layers: list[nn.Module] = []
        for i, o in itertools.pairwise(widths):
            layers += [nn.Linear(i, o), nn.GELU()]
        self.out_conv = nn.Sequential(*layers[:-1])

    def forward(self, x: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        own, shared = self.in_conv(x).chunk(2, dim=-1)
        mean = (shared * kept[..., None]).sum(1) / kept.sum(1, keepdim=True)
        return self.out_conv(torch.cat([own, mean[:, None].expand_as(own)], dim=-1)).log_softmax(-1)


class Reference(torch.nn.Module):
    """timm's network with predictors; its parts are taken over, so that names are as they should be."""

    def __init__(self, rate: float, places: Any, distill: bool, **more: Any) -> None:
        super().__init__()
        net = timm.create_model("deit_small_patch16_224", **more)
        self.cls_token, self.pos_embed = net.cls_token, net.pos_embed
        self.patch_embed, self.blocks, self.norm, self.head = net.patch_embed, net.blocks, net.norm, net.head
        self.score_predictor = torch.nn.ModuleList([Score(net.embed_dim) for _ in places])
        self.places, self.distill, count = list(places), distill, net.patch_embed.num_patches
        self.counts = [int(count * rate ** (j + 1)) for j in range(len(self.places))]

    def attend(self, attn: torch.nn.Module, x: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """Attention that sees the class token, the kept patches, and each patch itself."""
        B, N, D = x.shape
        q, k, v = attn.qkv(x).reshape(B, N, 3, attn.num_heads, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.mT * attn.scale
        mask = torch.cat([torch.ones_like(kept[:, :1]), kept], dim=1)[:, None, None].expand(B, 1, N, N)
        mask = torch.where(torch.eye(N, dtype=torch.bool), torch.ones_like(mask), mask)
        weights = (scores - scores.amax(-1, keepdim=True)).exp() * mask
        weights = (weights + 1e-6 / N) / (weights.sum(-1, keepdim=True) + 1e-6)
        return attn.proj((weights @ v).transpose(1, 2).reshape(B, N, D))

    def train_blocks(self, x: torch.Tensor) -> Any:
        """Every token stays; decisions are drawn."""
        kept, decisions = torch.ones_like(x[:, 1:, 0]), []
        for i, block in enumerate(self.blocks):
            if i in self.places:
                j = len(decisions)
                scores = self.score_predictor[j](x[:, 1:], kept)
                noise = torch.from_numpy(gumbel(f"{NOISE} {j}", tuple(scores.shape))).to(scores.dtype)
                soft = (scores + noise).softmax(-1)[..., 0]
                kept = ((soft > 0.5).to(soft.dtype) + soft - soft.detach()) * kept
                decisions.append(kept)
            x = x + self.attend(block.attn, block.norm1(x), kept)
            x = x + block.mlp(block.norm2(x))
        x = self.norm(x)
        return self.head(x[:, 0]), x[:, 1:], kept.detach(), decisions

    def forward(self, x: torch.Tensor) -> Any:
        x = self.patch_embed(x)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        if self.training and self.distill:
            return self.train_blocks(x)
        for i, block in enumerate(self.blocks):
            if i in self.places:
                j = self.places.index(i)
                scores = self.score_predictor[j](x[:, 1:], torch.ones_like(x[:, 1:, 0]))[..., 0]
                best = scores.argsort(dim=1, descending=True)[:, : self.counts[j]]
                x = torch.cat([x[:, :1], x[:, 1:].gather(1, best[..., None].expand(-1, -1, x.shape[-1]))], dim=1)
            x = block(x)
        return self.head(self.norm(x)[:, 0])


def build(name: str, base_rate: float = 0.7, pruning_loc: Any = (), distill: bool = False, **overrides: Any) -> torch.nn.Module:
    """The reference of a name."""
    more, places = (DIGITS, (1, 2, 3)) if name == "dynamic_vit_digits" else ({}, (3, 6, 9))
    return Reference(RATES.get(name, base_rate), pruning_loc or places, distill, **{**more, **overrides})


SHORT: dict[str, Any] = {"depth": 3, "pruning_loc": [0, 1, 2], "img_size": 48, "num_classes": 10}
SMALL = "dynamic_vit_small"
CASES: dict[str, dict[str, Any]] = {
    "small short": both_modes(SMALL, (3, 48, 48), 2, **SHORT)[f"{SMALL} eval"],
    "digits": both_modes("dynamic_vit_digits", (1, 8, 8))["dynamic_vit_digits eval"],
    "two stages": both_modes("dynamic_vit_digits", (1, 8, 8), base_rate=0.5, pruning_loc=[1, 3])["dynamic_vit_digits eval"],
    "whole": {"model": SMALL, "input": [3, 224, 224], "batch": 1},
}

if __name__ == "__main__":
    case = both_modes("dynamic_vit_digits", (1, 8, 8))["dynamic_vit_digits train"]
    more = {f"{TRAIN}/{key}": array for key, array in run(build("dynamic_vit_digits", distill=True), case).items()}
    write("dynamic_vit", build, CASES, dict.fromkeys(RATES, (3, 224, 224)), [timm], more=more)
