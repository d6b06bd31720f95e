"""Writes poolformer.json and poolformer.npz.

python tests/golden/make_poolformer.py FOLDER      # a clone of sail-sg/poolformer at a075575, beside torch and timm at the
                                                   # versions in reference.py

The numbers are those of timm's MetaFormer, with token mixers, positions and the official head from below where timm has none;
before they are written, what the official code has too is compared with it.
"""

from __future__ import annotations

import importlib
import math
import sys
import types
from functools import partial
from typing import Any

import timm
import torch
from reference import both_modes, fill, write
from timm.layers import DropPath, GroupNorm1, LayerNorm2d, to_2tuple, trunc_normal_
from timm.models.metaformer import MetaFormer, Pooling
from torch import nn
from weights import noise

from minivision.models.metaformer import renamed


class Mixer(nn.Module):
    """What mixes places, which it finds in a row."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> the same"""
        return self.mix(x.flatten(2)).view(x.shape)


def attention(head_dim: int) -> type[nn.Module]:
    """Softmax attention with heads of so many channels."""

    class Attention(Mixer):
        def __init__(self, dim: int, **_: Any) -> None:
            super().__init__()
            self.qkv, self.proj = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim)

        def mix(self, x: torch.Tensor) -> torch.Tensor:
            b, c, n = x.shape
            q, k, v = self.qkv(x.mT).mT.reshape(b, 3, c // head_dim, head_dim, n).unbind(1)
            weights = (torch.einsum("bhdi,bhdj->bhij", q, k) / math.sqrt(head_dim)).softmax(-1)
            return self.proj(torch.einsum("bhij,bhdj->bhdi", weights, v).reshape(b, c, n).mT).mT

    return Attention


def spatial_fc(places: int) -> type[nn.Module]:
    """A matrix over the places."""

    class SpatialFc(Mixer):
        def __init__(self, **_: Any) -> None:
            super().__init__()
            self.fc = nn.Linear(places, places, bias=False)

        def mix(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.fc.weight.T

    return SpatialFc


def spatial_mlp(places: int) -> type[nn.Module]:
    """Two layers over the places."""

    class SpatialMlp(Mixer):
        def __init__(self, dim: int, **_: Any) -> None:
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(places, dim // 2), nn.Linear(dim // 2, places)

        def mix(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc2(nn.functional.gelu(self.fc1(x)))

    return SpatialMlp


def random_mixing(places: int) -> type[nn.Module]:
    """A matrix over the places that is no parameter."""

    class RandomMixing(Mixer):
        def __init__(self, **_: Any) -> None:
            super().__init__()
            self.register_buffer("random_matrix", torch.empty(places, places))

        def mix(self, x: torch.Tensor) -> torch.Tensor:
            return torch.einsum("ij,bcj->bci", self.random_matrix, x)

    return RandomMixing


SMALL, MEDIUM = [64, 128, 320, 512], [96, 192, 384, 768]
S12, S24, S36 = [2, 2, 6, 2], [4, 4, 12, 4], [6, 6, 18, 6]
P, A, F = "pooling", "attention", "spatial_fc"
CHANNEL = partial(LayerNorm2d, eps=1e-5)
POOLFORMERS = {
    "poolformer_s12": (S12, SMALL),
    "poolformer_s24": (S24, SMALL),
    "poolformer_s36": (S36, SMALL),
    "poolformer_m36": (S36, MEDIUM),
}
HYBRIDS = {
    "metaformer_id_s12": (["identity"] * 4, "group"),
    "metaformer_pppa_s12_224": ([P, P, P, A], "channel"),
    "metaformer_ppaa_s12_224": ([P, P, A, A], "channel"),
    "metaformer_pppf_s12_224": ([P, P, P, F], "group"),
    "metaformer_ppff_s12_224": ([P, P, F, F], "group"),
}
DIGITS = {"poolformer_digits": P} | {
    f"metaformer_{mixer}_digits": mixer for mixer in ("identity", A, F, "spatial_mlp", "random")
}  # fmt: skip


def settings(name: str) -> dict[str, Any]:
    """What build() is given for a name where nothing is changed."""
    if name in POOLFORMERS:
        depths, dims = POOLFORMERS[name]
        return {"depths": depths, "dims": dims}
    if name in HYBRIDS:
        mixers, norm = HYBRIDS[name]
        return {"depths": S12, "dims": SMALL, "token_mixers": mixers, "norm": norm, "head": "official"}
    return {
        "depths": [2, 2], "dims": [32, 64], "token_mixers": DIGITS[name], "stem": [3, 1, 1], "head_dim": 16, "img_size": 8,
        "in_chans": 1, "num_classes": 10,
    }  # fmt: skip


def sides(img_size: int, stem: list[int], stages: int) -> list[int]:
    """The side of each stage's map, found by sending an image through convolutions of that shape."""
    x, found = torch.empty(1, 1, img_size, img_size, device="meta"), []
    for i in range(stages):
        kernel, stride, padding = stem if i == 0 else (3, 2, 1)
        x = nn.functional.conv2d(x, torch.empty(1, 1, kernel, kernel, device="meta"), stride=stride, padding=padding)
        found.append(x.shape[-1])
    return found


def make(
    depths: list[int], dims: list[int], token_mixers: str | list[str] = P, norm: str = "group", head: str = "timm",
    stem: Any = (7, 4, 2), pool_size: int = 3, head_dim: int = 32, img_size: int = 224, in_chans: int = 3,
    num_classes: int = 1000,
) -> nn.Module:  # fmt: skip
    """timm's MetaFormer with the additions."""
    mixers = [token_mixers] * len(dims) if isinstance(token_mixers, str) else token_mixers
    norms = GroupNorm1 if norm == "group" else CHANNEL
    at = sides(img_size, stem, len(dims))
    classes = [
        {
            P: lambda n: Pooling, "identity": lambda n: nn.Identity, A: lambda n: attention(head_dim), F: spatial_fc,
            "spatial_mlp": spatial_mlp, "random": random_mixing,
        }[mixer](side * side)
        for mixer, side in zip(mixers, at, strict=True)
    ]  # fmt: skip
    model = MetaFormer(
        in_chans=in_chans, num_classes=num_classes, depths=depths, dims=dims, token_mixers=classes, mlp_act=nn.GELU,
        mlp_bias=True, layer_scale_init_values=1e-5, res_scale_init_values=None, downsample_norm=None, norm_layers=norms,
        use_mlp_head=False, **({"pool_size": pool_size} if P in mixers else {}),
    )  # fmt: skip
    model.stem.conv = nn.Conv2d(in_chans, dims[0], stem[0], stem[1], stem[2])
    if A in mixers:
        i = mixers.index(A)
        stage = model.stages[i]
        stage.pos_embed = nn.Parameter(torch.zeros(1, dims[i], at[i], at[i]))
        stage.downsample.register_forward_hook(lambda module, given, y: y + stage.pos_embed)
    if head == "official":
        model.head.norm = norms(dims[-1])
        model.forward_head = lambda x: model.head.fc(model.head.norm(x).mean((2, 3)))
    return model


def build(name: str, **overrides: Any) -> nn.Module:
    """The reference of a name; timm's own by that name where nothing is changed."""
    return timm.create_model(name) if name in POOLFORMERS and not overrides else make(**{**settings(name), **overrides})


def official(folder: str) -> tuple[types.ModuleType, types.ModuleType]:
    """The clone's two files, which name timm's parts as they were called in 2021."""
    layers = types.ModuleType("timm.models.layers")
    layers.__dict__.update(DropPath=DropPath, trunc_normal_=trunc_normal_)
    helpers, registry = types.ModuleType("timm.models.layers.helpers"), types.ModuleType("timm.models.registry")
    helpers.__dict__.update(to_2tuple=to_2tuple)
    registry.__dict__.update(register_model=lambda build: build)
    sys.modules |= {module.__name__: module for module in (layers, helpers, registry)}
    sys.path.insert(0, folder)
    package = types.ModuleType("models")  # whose own __init__ registers all at once
    package.__path__ = [f"{folder}/models"]
    sys.modules["models"] = package
    return importlib.import_module("models.poolformer"), importlib.import_module("models.metaformer")


def agree(folder: str) -> None:
    """The official networks and ours in the official order are the same function, on few classes."""
    pool, meta = official(folder)
    for name in [*POOLFORMERS, *HYBRIDS]:
        side = 224 if name.endswith("_224") else 64
        own = fill(build(name, num_classes=10, head="official")).double().eval()
        theirs = getattr(meta if name in HYBRIDS else pool, name)(num_classes=10).double().eval()
        names = renamed({key: key for key in theirs.state_dict()})
        theirs.load_state_dict({names[key]: value for key, value in own.state_dict().items()})
        x = torch.from_numpy(noise("input", (2, 3, side, side))).double()
        with torch.no_grad():
            y, z = own(x), theirs(x)
        error = ((y - z).abs().max() / z.abs().max()).item()
        print(f"{name}: off by {error:.1e} from the official code", flush=True)
        assert error < 1e-12


NAME = "poolformer_s12"
FEW: dict[str, Any] = {"depths": [1, 2, 1, 1], "dims": [16, 24, 32, 40], "num_classes": 10, "shape": (3, 64, 64), "batch": 2}
CASES: dict[str, dict[str, Any]] = both_modes(NAME, **FEW)  # training differs by nothing without dropout: one case holds that
CASES["official head"] = both_modes(NAME, head="official", **FEW)[f"{NAME} eval"]
CASES["wide windows"] = both_modes(NAME, pool_size=5, **FEW)[f"{NAME} eval"]
for each in DIGITS:
    CASES[each] = both_modes(each, (1, 8, 8), batch=2)[f"{each} eval"]
for each in ("metaformer_ppaa_s12_224", "metaformer_ppff_s12_224"):
    CASES[each] = both_modes(each, head_dim=8, img_size=64, **{**FEW, "depths": [1, 1, 1, 1]})[f"{each} eval"]
CASES[f"{NAME} whole"] = {"model": NAME, "input": [3, 224, 224], "batch": 1}

if __name__ == "__main__":
    agree(sys.argv[1])
    write("poolformer", build, CASES, dict.fromkeys([*POOLFORMERS, *HYBRIDS], (3, 224, 224)), [timm])
