"""Writes csra.json and csra.npz.

python tests/golden/make_csra.py FOLDER      # a clone of Kevinz-code/CSRA at c8480d1, beside torch and torchvision at
                                             # the versions in reference.py
"""

from __future__ import annotations

import collections.abc
import sys
import types
from functools import partial
from typing import Any
from unittest import mock

import torch
import torchvision
from reference import both_modes, write

RESNET, BASE, LARGE = "csra_resnet101", "csra_vit_base_patch16_224", "csra_vit_large_patch16_224"
SIZES = {BASE: (768, 12, 12), LARGE: (1024, 24, 16)}  # width, blocks, heads


def use_clone(folder: str) -> None:
    """Imports come from the clone."""
    sys.path.insert(0, folder)
    sys.modules["torch._six"] = types.SimpleNamespace(container_abcs=collections.abc)  # which this torch has no more


def build_resnet(
    num_classes: int = 20, csra_heads: int = 1, lam: float = 0.1, block: str = "", depths: Any = ()
) -> torch.nn.Module:
    """The reference on ResNet-101, or on ResNet-18 where blocks are given, without published weights."""
    from pipeline import resnet_csra

    def without_weights(model: torch.nn.Module, **_: Any) -> None:
        model.fc = torch.nn.Sequential()

    resnet_csra.ResNet_CSRA.init_weights = without_weights
    depth, width = (18, 512) if (block, list(depths)) == ("basic", [2, 2, 2, 2]) else (101, 2048)
    return resnet_csra.ResNet_CSRA(csra_heads, lam, num_classes, depth=depth, input_dim=width)


def build_vit(
    name: str, num_classes: int = 80, csra_heads: int = 1, lam: float = 0.3, img_size: int = 224, depth: int = 0
) -> torch.nn.Module:
    """The reference on a vision transformer. It reads numbers off a tensor as it is built, which one without memory has not."""
    from pipeline import vit_csra

    width, blocks, heads = SIZES[name]
    with mock.patch.object(torch, "linspace", partial(torch.linspace, device="cpu")):
        return vit_csra.VIT_CSRA(
            img_size=img_size, embed_dim=width, depth=depth or blocks, num_heads=heads, qkv_bias=True, cls_num_heads=csra_heads,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), cls_num_cls=num_classes, lam=lam,
        )  # fmt: skip


def build(name: str, **overrides: Any) -> torch.nn.Module:
    """The reference of a name."""
    return build_resnet(**overrides) if name == RESNET else build_vit(name, **overrides)


FEW: dict[str, Any] = {"shape": (3, 64, 64), "num_classes": 10}
SHORT: dict[str, Any] = {**FEW, "depth": 1, "img_size": 64, "batch": 2}
CASES: dict[str, dict[str, Any]] = {}
for each, heads in ((BASE, 1), (BASE, 2), (BASE, 4), (LARGE, 8)):
    label = f"{each}, {heads} heads"
    CASES[label] = {**both_modes(each, csra_heads=heads, **SHORT)[f"{each} eval"], "gradients": each == BASE}
CASES |= both_modes(RESNET, label="of 18 layers, 6 heads", block="basic", depths=[2, 2, 2, 2], csra_heads=6, lam=0.4, **FEW)
CASES["csra_resnet101 eval"] = {"model": RESNET, "input": [3, 64, 64], "batch": 2}

if __name__ == "__main__":
    use_clone(sys.argv[1])
    write("csra", build, CASES, {RESNET: (3, 448, 448), BASE: (3, 224, 224), LARGE: (3, 224, 224)}, [torchvision])
