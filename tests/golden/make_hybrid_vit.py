"""Writes hybrid_vit.json and hybrid_vit.npz.

python tests/golden/make_hybrid_vit.py      # in an environment with torch and timm at the versions in reference.py
"""

from __future__ import annotations

from functools import partial
from typing import Any

import timm
import torch
from reference import both_modes, write
from timm.layers import GroupNormAct, HybridEmbed, StdConv2dSame
from timm.models.resnetv2 import ResNetV2
from timm.models.vision_transformer import VisionTransformer

NAMES = {"vit_base_r50_s16_224": 224, "vit_base_r50_s16_384": 384, "vit_small_r26_s32_224": 224}
BASE, _, SMALL = NAMES


def build(
    name: str, depths: Any = (), widths: Any = (), stem_width: int = 64, groups: int = 32, patch_size: int = 0, **overrides: Any
) -> torch.nn.Module:
    """The reference of a name; where there are depths, its parts put together with fewer and narrower layers."""
    if not depths:
        return timm.create_model(name, **overrides)
    backbone = ResNetV2(
        layers=depths, channels=widths, num_classes=0, global_pool="", preact=False, stem_type="same",
        conv_layer=partial(StdConv2dSame, eps=1e-8), norm_layer=partial(GroupNormAct, num_groups=groups), stem_chs=stem_width,
    )  # fmt: skip
    side = patch_size // (2 << len(depths))
    return VisionTransformer(embed_layer=partial(HybridEmbed, backbone=backbone), patch_size=side, **overrides)


NARROW: dict[str, Any] = {"stem_width": 32, "groups": 8, "embed_dim": 48, "depth": 1, "num_heads": 3, "num_classes": 5}
TWO = {**NARROW, "depths": [2, 1], "widths": [32, 64], "patch_size": 8, "img_size": 32}
CASES: dict[str, dict[str, Any]] = both_modes(BASE, (3, 32, 32), 2, label="two stages", **TWO)
CASES["wide image, larger patches"] = {**CASES["two stages eval"], "input": [3, 32, 64]}
CASES["wide image, larger patches"]["overrides"] = {**TWO, "patch_size": 16, "img_size": [32, 64]}
CASES["base"] = {"model": BASE, "input": [3, 32, 32], "batch": 1, "overrides": {"img_size": 32, "depth": 1}}
CASES["whole"] = {"model": SMALL, "input": [3, 224, 224], "batch": 1}

if __name__ == "__main__":
    write("hybrid_vit", build, CASES, {name: (3, side, side) for name, side in NAMES.items()}, [timm])
